import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Filters } from '../report/queries.js';
import type { CommitRecord, DecisionRecord, DriftRecord, EnvironmentRecord, ReturnRecord } from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';

@Resolver('Environment')
export class EnvironmentResolver {
  @Query('environments')
  environments(
    @Args() args: PageArguments & { filter?: Filters['environment'] },
    @Context() context: ApiContext,
  ): Promise<Connection<EnvironmentRecord>> {
    return connect(context, 'environment', args);
  }

  @Query('environment')
  async environment(
    @Args('repository') repository: string,
    @Args('name') name: string,
    @Context() { queries }: ApiContext,
  ): Promise<EnvironmentRecord | null> {
    return (await queries.anyOf('environment', { repository: [repository], name: [name] }))[0] ?? null;
  }

  @ResolveField('headCommit')
  headCommit(@Parent() { repository, head }: EnvironmentRecord, @Context() { loaders }: ApiContext): MaybeCommit {
    return head === null ? null : loaders.commit.load({ repository, id: head });
  }

  @ResolveField('approvedCommit')
  approvedCommit(
    @Parent() { repository, approved }: EnvironmentRecord,
    @Context() { loaders }: ApiContext,
  ): MaybeCommit {
    return approved === null ? null : loaders.commit.load({ repository, id: approved });
  }

  @ResolveField('headDecision')
  headDecision(@Parent() { headDecision }: EnvironmentRecord, @Context() { loaders }: ApiContext): MaybeDecision {
    return headDecision === null ? null : loaders.decision.load(headDecision);
  }

  @ResolveField('approvedDecision')
  approvedDecision(
    @Parent() { approvedDecision }: EnvironmentRecord,
    @Context() { loaders }: ApiContext,
  ): MaybeDecision {
    return approvedDecision === null ? null : loaders.decision.load(approvedDecision);
  }

  @ResolveField('return')
  return(
    @Parent() { repository, name }: EnvironmentRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<ReturnRecord | null> {
    return loaders.returnOf.load({ repository, name });
  }

  @ResolveField('openDrift')
  openDrift(
    @Parent() { repository, name }: EnvironmentRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly DriftRecord[]> {
    return loaders.openDriftOf.load({ repository, name });
  }
}

@Resolver('Return')
export class ReturnResolver {
  @ResolveField('decision')
  decision(@Parent() { decision }: ReturnRecord, @Context() { loaders }: ApiContext): MaybeDecision {
    return decision === null ? null : loaders.decision.load(decision);
  }
}

type MaybeCommit = Promise<CommitRecord | null> | null;
type MaybeDecision = Promise<DecisionRecord | null> | null;
