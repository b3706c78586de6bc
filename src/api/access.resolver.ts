import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { LoggedEntry } from '../audit/entry.js';
import type { AccessList } from '../report/access-list.js';
import type { Approving } from './approve.resolver.js';
import type { ApiContext } from './context.js';
import { APPROVING, STATE, type ServiceState } from './state.js';

@Resolver('AccessList')
export class AccessResolver {
  constructor(
    @Inject(STATE) private readonly state: ServiceState,
    @Inject(APPROVING) private readonly approving: Approving,
  ) {}

  @Query('accessList')
  async accessList(
    @Args('at') at: string | null | undefined,
    @Context() { authority }: ApiContext,
  ): Promise<AccessList> {
    const list = await this.state.accessList(at ?? new Date().toISOString());
    // Nobody learns whose key opens what and leaves no trace.
    await this.approving.log.granted({ action: 'accessList', token: authority.token, login: authority.login });
    return list;
  }

  @ResolveField('entry')
  entry(@Parent() { index }: AccessList, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> {
    return loaders.entry.load(index);
  }
}
