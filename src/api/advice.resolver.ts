import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Filters } from '../report/queries.js';
import { statusContext } from '../review/forge.js';
import type { AdviceRecord, ApprovalRecord, CommitRecord, ObjectChangeRecord } from '../review/records.js';
import { objectChangesOf } from './change.resolver.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';

@Resolver('Advice')
export class AdviceResolver {
  @Query('advice')
  advice(
    @Args() args: PageArguments & { filter?: Filters['advice'] },
    @Context() context: ApiContext,
  ): Promise<Connection<AdviceRecord>> {
    return connect(context, 'advice', args);
  }

  @ResolveField('headCommit')
  headCommit(
    @Parent() { repository, head }: AdviceRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> {
    return loaders.commit.load({ repository, id: head });
  }

  @ResolveField('commitIds')
  commitIds(@Parent() { commits }: AdviceRecord): readonly string[] {
    return commits;
  }

  @ResolveField('commits')
  commits(@Parent() { proposed }: AdviceRecord): AdviceRecord['proposed'] {
    return proposed;
  }

  @ResolveField('objectChangeCount')
  objectChangeCount(@Parent() { objectChanges }: AdviceRecord): number {
    return objectChanges;
  }

  @ResolveField('objectChanges')
  objectChanges(
    @Parent() { id, objectChanges: total }: AdviceRecord,
    @Args() args: PageArguments,
    @Context() { loaders }: ApiContext,
  ): Promise<Connection<ObjectChangeRecord>> {
    return objectChangesOf({ id, total }, args, loaders);
  }

  @ResolveField('approvals')
  async approvals(
    @Parent() { approvals }: AdviceRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly ApprovalRecord[]> {
    const rows = await Promise.all(approvals.map((id) => loaders.approval.load(id)));
    return rows.filter((row) => row !== null);
  }

  @ResolveField('context')
  context(@Parent() { environment }: AdviceRecord): string {
    return statusContext(environment);
  }
}
