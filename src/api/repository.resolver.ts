import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { LoggedEntry } from '../audit/entry.js';
import type { Filters } from '../report/queries.js';
import { accountName } from '../review/approval.js';
import type {
  CommitRecord,
  EnvironmentRecord,
  ProtectionRecord,
  PushRecord,
  RepositoryRecord,
  TipRecord,
} from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';

@Resolver('Repository')
export class RepositoryResolver {
  @Query('repositories')
  repositories(@Context() { queries }: ApiContext): Promise<readonly RepositoryRecord[]> {
    return queries.anyOf('repository', {});
  }

  @Query('repository')
  async repository(@Args('name') name: string, @Context() { queries }: ApiContext): Promise<RepositoryRecord | null> {
    return (await queries.anyOf('repository', { name: [name] }))[0] ?? null;
  }

  @ResolveField('tips')
  tips(@Parent() repository: RepositoryRecord, @Context() { loaders }: ApiContext): Promise<readonly TipRecord[]> {
    return loaders.tipsOf.load(repository.name);
  }

  @ResolveField('branchProtection')
  async branchProtection(
    @Parent() { name }: RepositoryRecord,
    @Context() { queries }: ApiContext,
  ): Promise<readonly ProtectionRecord[]> {
    const rows = await queries.anyOf('protection', { repository: [name] });
    const newest = new Map(rows.toSorted((a, b) => (a.time < b.time ? -1 : 1)).map((row) => [row.ref, row]));
    return [...newest.values()].toSorted((a, b) => (a.ref < b.ref ? -1 : 1));
  }

  @ResolveField('environments')
  environments(
    @Parent() repository: RepositoryRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly EnvironmentRecord[]> {
    return loaders.environmentsOf.load(repository.name);
  }
}

@Resolver('BranchProtection')
export class BranchProtectionResolver {
  @ResolveField('entry')
  entry(@Parent() { index }: ProtectionRecord, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> | null {
    return index === null ? null : loaders.entry.load(index);
  }
}

@Resolver('Tip')
export class TipResolver {
  @ResolveField('push')
  push(@Parent() tip: TipRecord, @Context() { loaders }: ApiContext): Promise<PushRecord | null> {
    return loaders.push.load(tip.push);
  }
}

@Resolver('Push')
export class PushResolver {
  @Query('pushes')
  pushes(
    @Args() args: PageArguments & { filter?: Filters['push'] },
    @Context() context: ApiContext,
  ): Promise<Connection<PushRecord>> {
    return connect(context, 'push', args);
  }

  @ResolveField('oldCommit')
  oldCommit(@Parent() push: PushRecord, @Context() { loaders }: ApiContext): Promise<CommitRecord | null> | null {
    return push.old === null ? null : loaders.commit.load({ repository: push.repository, id: push.old });
  }

  @ResolveField('newCommit')
  newCommit(@Parent() push: PushRecord, @Context() { loaders }: ApiContext): Promise<CommitRecord | null> | null {
    return push.new === null ? null : loaders.commit.load({ repository: push.repository, id: push.new });
  }

  @ResolveField('pusher')
  pusher(@Parent() { pusher }: PushRecord): string | null {
    return pusher && accountName(pusher);
  }

  @ResolveField('entry')
  entry(@Parent() { index }: PushRecord, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> | null {
    return index === null ? null : loaders.entry.load(index);
  }
}
