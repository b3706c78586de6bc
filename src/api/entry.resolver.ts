import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { predicateType, type EntryType, type LoggedEntry } from '../audit/entry.js';
import type { Inclusion } from '../audit/ledger.js';
import { decodeCursor, encodeCursor } from '../report/cursor.js';
import { connection, pageLength, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';
import { STATE, type ServiceState } from './state.js';

interface EntryFilter {
  readonly type?: readonly EntryType[] | null;
  readonly fromIndex?: number | null;
  readonly toIndex?: number | null;
}

interface EntriesArguments extends PageArguments {
  readonly filter?: EntryFilter | null;
  readonly newestFirst?: boolean | null;
}

@Resolver('Entry')
export class EntryResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('entry')
  entry(@Args('index') index: number, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> {
    return loaders.entry.load(index);
  }

  @Query('entries')
  async entries(
    @Args() args: EntriesArguments,
    @Context() { loaders, queries }: ApiContext,
  ): Promise<Connection<LoggedEntry>> {
    const first = pageLength(args);
    const { type, fromIndex, toIndex } = args.filter ?? {};
    const newestFirst = args.newestFirst ?? false;
    const after = args.after ? Number(decodeCursor('entry', args.after, 1, isIndex)[0]) : null;
    const from = fromIndex ?? 0;
    // Never beyond what the checkpoint covers.
    const to = Math.max(from, Math.min(toIndex ?? Number.MAX_SAFE_INTEGER, await this.state.ledger.size()));
    const rest = {
      from: after === null || newestFirst ? from : Math.max(from, after + 1),
      to: after === null || !newestFirst ? to : Math.min(to, after),
    };
    const indexes = type
      ? await queries.entryIndexes({ types: type, ...rest }, first + 1, newestFirst)
      : range(rest.from, rest.to, first + 1, newestFirst);
    const found = await Promise.all(indexes.slice(0, first).map((index) => loaders.entry.load(index)));
    const edges = found
      .filter((node) => node !== null)
      .map((node) => ({ cursor: encodeCursor('entry', [String(node.index)]), node }));
    const count = (): Promise<number> | number => (type ? queries.countEntries({ types: type, from, to }) : to - from);
    return connection(edges, { hasNext: indexes.length > first, hasPrevious: after !== null }, count);
  }

  @ResolveField('predicateType')
  predicateType(@Parent() entry: LoggedEntry): string {
    return predicateType(entry.type);
  }

  @ResolveField('envelope')
  envelope(@Parent() entry: LoggedEntry): string {
    return entry.envelope.toString('base64');
  }

  @ResolveField('inclusion')
  inclusion(@Parent() entry: LoggedEntry, @Context() { loaders }: ApiContext): Promise<Inclusion> {
    return loaders.inclusion.load(entry.index);
  }
}

function isIndex(value: string): boolean {
  return /^(0|[1-9]\d{0,15})$/.test(value) && Number.isSafeInteger(Number(value));
}

/** From … to (not included), or backwards from the end, `limit` at most. */
function range(from: number, to: number, limit: number, backwards: boolean): number[] {
  const length = Math.max(0, Math.min(limit, to - from));
  return Array.from({ length }, (_, i) => (backwards ? to - 1 - i : from + i));
}
