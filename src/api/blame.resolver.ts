import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { FieldAnswer } from '../report/blame-question.js';
import type { CommitRecord, DecisionRecord } from '../review/records.js';
import type { ApiContext } from './context.js';
import { STATE, type ServiceState } from './state.js';

interface Arguments {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string | null;
  readonly repository?: string | null;
  readonly environment?: string | null;
}

type Blamed = FieldAnswer & { readonly repository: string };

@Resolver('BlamedField')
export class BlameResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('blame')
  async blame(
    @Args() { kind, name, namespace, repository, environment }: Arguments,
    @Context() { queries }: ApiContext,
  ): Promise<object> {
    const question = {
      kind,
      name,
      namespace: namespace ?? undefined,
      repository: repository ?? undefined,
      environment: environment ?? undefined,
    };
    const answer = await this.state.blame(question, queries);
    const { object, fields } = answer;
    return { ...answer, fields: fields.map((field): Blamed => ({ ...field, repository: object.repository })) };
  }

  @ResolveField('strength')
  strength(@Parent() { attribution }: Blamed): string | null {
    return attribution?.strength ?? null;
  }

  @ResolveField('commitId')
  commitId(@Parent() { git }: Blamed): string | null {
    return git?.commit ?? null;
  }

  @ResolveField('isExact')
  isExact(@Parent() { git }: Blamed): boolean | null {
    return git?.isExact ?? null;
  }

  @ResolveField('operation')
  operation(@Parent() { git }: Blamed): string | null {
    return git?.operation ?? null;
  }

  @ResolveField('appliedAt')
  appliedAt(@Parent() { git }: Blamed): string | null {
    return git?.appliedAt ?? null;
  }

  @ResolveField('decisionIndex')
  decisionIndex(@Parent() { git }: Blamed): number | null {
    return git?.decision ?? null;
  }

  @ResolveField('commit')
  commit(
    @Parent() { git, repository }: Blamed,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> | null {
    return git && loaders.commit.load({ repository, id: git.commit });
  }

  @ResolveField('decision')
  decision(@Parent() { git }: Blamed, @Context() { loaders }: ApiContext): Promise<DecisionRecord | null> | null {
    return git && loaders.decisionAt.load(git.decision);
  }
}
