import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { type Control, controlsNamed, rulesByControl } from '../report/controls.js';
import type { DecisionRecord } from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';
import { STATE, type ServiceState } from './state.js';

/** A control as it is asked of one repository. */
interface Asked extends Control {
  readonly repository: string;
  /** Ids of those in force there that answer it. */
  readonly rules: readonly string[];
}

@Resolver('Control')
export class ControlResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('controls')
  async controls(
    @Args() { repository, id }: { repository: string; id?: string | null },
    @Context() { reach }: ApiContext,
  ): Promise<readonly Asked[]> {
    if (!reach.wholly(repository)) return [];
    const governed = await this.state.controls(repository);
    if (!governed) return [];
    const rules = rulesByControl(governed.rules, governed.catalogues);
    return controlsNamed(governed.catalogues, id ?? undefined).map((control) => ({
      ...control,
      repository,
      rules: rules.get(control.id) ?? [],
    }));
  }

  /** In which a rule said something that names the control itself. */
  @ResolveField('decisions')
  decisions(
    @Parent() { repository, id: control }: Asked,
    @Args() args: PageArguments,
    @Context() context: ApiContext,
  ): Promise<Connection<DecisionRecord>> {
    return connect(context, 'decision', { ...args, filter: { repository, control } });
  }
}
