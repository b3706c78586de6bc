import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { decodeCursor, encodeCursor } from '../report/cursor.js';
import type { Filters } from '../report/queries.js';
import type {
  ApprovalRecord,
  ChangeRecord,
  CommitRecord,
  DecisionRecord,
  ObjectChangeRecord,
  PushRecord,
} from '../review/records.js';
import { connect, connection, pageLength, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';
import type { Loaders } from './loaders.js';

@Resolver('Change')
export class ChangeResolver {
  @Query('changes')
  changes(
    @Args() args: PageArguments & { filter?: Filters['change'] },
    @Context() context: ApiContext,
  ): Promise<Connection<ChangeRecord>> {
    return connect(context, 'change', args);
  }

  @Query('change')
  change(@Args('id') id: string, @Context() { loaders }: ApiContext): Promise<ChangeRecord | null> {
    return loaders.change.load(id);
  }

  @ResolveField('push')
  push(@Parent() change: ChangeRecord, @Context() { loaders }: ApiContext): Promise<PushRecord | null> {
    return loaders.push.load(change.push);
  }

  @ResolveField('commitIds')
  commitIds(@Parent() change: ChangeRecord): readonly string[] {
    return change.commits;
  }

  @ResolveField('commits')
  async commits(
    @Parent() { repository, commits }: ChangeRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly CommitRecord[]> {
    const rows = await Promise.all(commits.map((id) => loaders.commit.load({ repository, id })));
    return rows.filter((row) => row !== null);
  }

  @ResolveField('objectChangeCount')
  objectChangeCount(@Parent() change: ChangeRecord): number {
    return change.objectChanges;
  }

  @ResolveField('objectChanges')
  async objectChanges(
    @Parent() change: ChangeRecord,
    @Args() args: PageArguments,
    @Context() { loaders }: ApiContext,
  ): Promise<Connection<ObjectChangeRecord>> {
    return objectChangesOf({ id: change.id, total: change.objectChanges }, args, loaders);
  }

  @ResolveField('decisions')
  decisions(@Parent() { id }: ChangeRecord, @Context() { loaders }: ApiContext): Promise<readonly DecisionRecord[]> {
    return loaders.decisionsOf.load(id);
  }

  @ResolveField('approvals')
  approvals(
    @Parent() { repository, environment, head }: ChangeRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly ApprovalRecord[]> {
    return loaders.approvalsOf.load({ repository, environment, head });
  }

  @ResolveField('decision')
  async decision(@Parent() { id }: ChangeRecord, @Context() { loaders }: ApiContext): Promise<DecisionRecord | null> {
    return (await loaders.decisionsOf.load(id)).at(-1) ?? null;
  }
}

/** A page of the object changes of a change, or of an advice. */
export async function objectChangesOf(
  { id, total }: { readonly id: string; readonly total: number },
  args: PageArguments,
  loaders: Loaders,
): Promise<Connection<ObjectChangeRecord>> {
  const after = args.after ? Number(decodeCursor('objectChange', args.after, 1, isPosition)[0]) : -1;
  const from = Math.min(after + 1, total);
  const to = Math.min(from + pageLength(args), total);
  const rows = from < to ? await loaders.objectChanges.load({ change: id, from, to }) : [];
  const edges = rows.map((node) => ({ cursor: encodeCursor('objectChange', [String(node.position)]), node }));
  return connection(edges, { hasNext: to < total, hasPrevious: after >= 0 }, () => total);
}

function isPosition(value: string): boolean {
  return /^\d{1,9}$/.test(value);
}
