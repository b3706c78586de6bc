import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Filters, Queries } from '../report/queries.js';
import type { CommitRecord } from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';
import { QUERIES } from './state.js';

@Resolver('Commit')
export class CommitResolver {
  constructor(@Inject(QUERIES) private readonly queries: Queries) {}

  @Query('commits')
  commits(@Args() args: PageArguments & { filter?: Filters['commit'] }): Promise<Connection<CommitRecord>> {
    return connect(this.queries, 'commit', args);
  }

  @Query('commit')
  commit(
    @Args('repository') repository: string,
    @Args('id') id: string,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> {
    return loaders.commit.load({ repository, id });
  }

  @ResolveField('subject')
  subject(@Parent() { message }: CommitRecord): string {
    return message.split('\n', 1)[0];
  }
}
