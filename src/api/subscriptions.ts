import type { GraphQLFieldResolver, GraphQLSchema } from 'graphql';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Feed } from '../report/feed.js';
import type { News, NewsType } from '../report/news.js';
import type { EnvironmentRecord, Tables } from '../review/records.js';
import type { ApiContext } from './context.js';

/** What subscriptions get: who asks is looked at anew for each event, and what they may see with it. */
export interface SubscriptionContext extends ApiContext {
  readonly feed: Feed;
  /** Ends with the subscription. */
  readonly signal: AbortSignal;
  end(): void;
  /** As it is now: roles change, and rows do. */
  renew(): ApiContext;
}

interface Arguments {
  readonly repository?: string | null;
  readonly environment?: string | null;
  /** Index of the last entry that was heard of. */
  readonly after?: number | null;
}

/** Milliseconds between two looks at how environments are, and for how long a row is waited for that its entry is ahead of. */
const EVERY = 500;
const PATIENCE = 5_000;

type Subscribe = (root: unknown, args: Arguments, context: SubscriptionContext) => Promise<AsyncGenerator>;
type Told = 'decision' | 'run' | 'drift';

/** One row for each entry that is news of one of these types. */
function ofLog(table: Told, types: readonly NewsType[]): Subscribe {
  return async (_root, args, context) => ending(rows(table, types, args, context), context);
}

async function* rows<K extends Told>(
  table: K,
  types: readonly NewsType[],
  args: Arguments,
  context: SubscriptionContext,
): AsyncGenerator<Tables[K]> {
  for await (const news of context.feed.from(args.after ?? null, context.signal)) {
    if (!types.includes(news.type) || !isAskedFor(news, args)) continue;
    const { reach } = context.renew();
    const { repository, environment } = news;
    if (repository === null || environment === null || !reach.covers(repository, environment)) continue;
    const row = await rowOf(table, news, context);
    if (row) yield row;
  }
}

/** Its index is written down after its entry: whoever hears of the entry at once may be ahead of it. */
async function rowOf<K extends Told>(
  table: K,
  { data }: News,
  context: SubscriptionContext,
): Promise<Tables[K] | null> {
  const id = data['supplements'] ?? data['id'];
  if (typeof id !== 'string') return null;
  for (const until = Date.now() + PATIENCE; !context.signal.aborted;) {
    const [row] = await context.renew().queries.anyOf(table, { id: [id] } as never);
    // An erased row is gone for good; one that is there has its place soon.
    if (!row || isPlaced(row) || Date.now() > until) return row ?? null;
    await sleep(20);
  }
  return null;
}

/** Whoever has heard enough is not waited for until something happens. */
function ending<T>(rows: AsyncGenerator<T>, context: SubscriptionContext): AsyncGenerator<T> {
  const end = rows.return.bind(rows);
  rows.return = (value) => {
    context.end();
    return end(value);
  };
  return rows;
}

const isPlaced = (row: object): boolean =>
  'index' in row ? row.index !== null : (row as Tables['run']).startedIndex !== null;

const isAskedFor = (news: Pick<News, 'repository' | 'environment'>, { repository, environment }: Arguments): boolean =>
  (repository ?? news.repository) === news.repository && (environment ?? news.environment) === news.environment;

/** Each environment as it is, and again whenever that is another than it was. */
async function* environments(args: Arguments, context: SubscriptionContext): AsyncGenerator<EnvironmentRecord> {
  const known = new Map<string, string>();
  while (!context.signal.aborted) {
    const { repository, environment: name } = args;
    const asked = { ...(repository ? { repository: [repository] } : {}), ...(name ? { name: [name] } : {}) };
    for (const row of await context.renew().queries.anyOf('environment', asked)) {
      const [key, seen] = [`${row.repository}\0${row.name}`, JSON.stringify({ ...row, updatedAt: null })];
      if (known.get(key) === seen) continue;
      known.set(key, seen);
      yield row;
    }
    await sleep(EVERY, undefined, { signal: context.signal, ref: false }).catch(() => undefined);
  }
}

const fields: Readonly<Record<string, Subscribe>> = {
  decisionRecorded: ofLog('decision', ['decision.recorded']),
  runChanged: ofLog('run', ['run.started', 'run.finished']),
  driftFound: ofLog('drift', ['drift.found', 'drift.traced']),
  environmentChanged: async (_root, args, context) => ending(environments(args, context), context),
};

/** Gives the fields of a schema's subscriptions what they tell; Mercurius, which serves the rest of it, has its own way with them. */
export function withSubscriptions(schema: GraphQLSchema): GraphQLSchema {
  for (const [name, field] of Object.entries(schema.getSubscriptionType()?.getFields() ?? {})) {
    field.subscribe = fields[name] as GraphQLFieldResolver<unknown, unknown>;
    field.resolve = (row) => row;
  }
  return schema;
}
