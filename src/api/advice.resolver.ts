import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Filters, Queries } from '../report/queries.js';
import { statusContext } from '../review/forge.js';
import type { AdviceRecord, CommitRecord } from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';
import { QUERIES } from './state.js';

@Resolver('Advice')
export class AdviceResolver {
  constructor(@Inject(QUERIES) private readonly queries: Queries) {}

  @Query('advice')
  advice(@Args() args: PageArguments & { filter?: Filters['advice'] }): Promise<Connection<AdviceRecord>> {
    return connect(this.queries, 'advice', args);
  }

  @ResolveField('headCommit')
  headCommit(
    @Parent() { repository, head }: AdviceRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> {
    return loaders.commit.load({ repository, id: head });
  }

  @ResolveField('context')
  context(@Parent() { environment }: AdviceRecord): string {
    return statusContext(environment);
  }
}
