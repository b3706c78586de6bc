import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Filters } from '../report/queries.js';
import type { CommitRecord } from '../review/records.js';
import type { TagSignature } from '../source/signature.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';
import { STATE, type ServiceState } from './state.js';

@Resolver('Commit')
export class CommitResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('commits')
  commits(
    @Args() args: PageArguments & { filter?: Filters['commit'] },
    @Context() context: ApiContext,
  ): Promise<Connection<CommitRecord>> {
    return connect(context, 'commit', args);
  }

  @Query('commit')
  commit(
    @Args('repository') repository: string,
    @Args('id') id: string,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> {
    return loaders.commit.load({ repository, id });
  }

  @ResolveField('tags')
  tags(@Parent() { repository, id }: CommitRecord): Promise<readonly TagSignature[]> {
    return this.state.tags(repository, id);
  }

  @ResolveField('subject')
  subject(@Parent() { message }: CommitRecord): string {
    return message.split('\n', 1)[0];
  }
}
