import { globMatcher } from '../change/glob.js';
import type { Ledger } from '../audit/ledger.js';
import type { Lease } from '../audit/lease.js';
import { newsOf, type News } from './news.js';

/** Which news a destination wants; what it does not say fits all. Globs. */
export interface NewsFilter {
  readonly types?: readonly string[];
  readonly repositories?: readonly string[];
  readonly environments?: readonly string[];
  readonly outcomes?: readonly string[];
}

export interface Destination extends NewsFilter {
  readonly name: string;
}

/** How far a destination has been told. */
export interface Cursor {
  /** Index of the first entry that it was not told of. */
  readonly next: number;
  /** Ids of the standing news that it was told of. */
  readonly told: readonly string[];
}

/** Where cursors are kept: told again rather than not at all, so they move after a delivery. */
export interface Cursors {
  /** Made at that index if there is none: what was before a destination is not its news. */
  of(destination: string, end: number): Promise<Cursor>;
  move(destination: string, to: Cursor): Promise<void>;
  failed(destination: string, fault: string): Promise<void>;
  /** Forgets all others. */
  keep(destinations: readonly string[]): Promise<void>;
}

export interface NotifierParts {
  readonly ledger: Pick<Ledger, 'size' | 'entries'>;
  readonly cursors: Cursors;
  /** Resolves when it is delivered. */
  readonly deliver: (news: News) => Promise<void>;
  /** What is true now and worth telling, each once as long as it lasts. */
  readonly standing: () => Promise<readonly News[]>;
}

/** Entries that are read in one go. */
const BATCH = 256;

/** Tells one destination of what is in the log, in its order, each at least once; a round that fails is taken up where it ended. */
export class Notifier {
  readonly #wants: (news: News) => boolean;

  constructor(
    private readonly destination: Destination,
    private readonly parts: NotifierParts,
  ) {
    this.#wants = wanted(destination);
  }

  /** Throws what the delivery throws, after it is noted. Stops where the lease is another's. */
  async round(lease: Pick<Lease, 'held'>): Promise<void> {
    const { ledger, cursors } = this.parts;
    const { name } = this.destination;
    const end = await ledger.size();
    let cursor = await cursors.of(name, end);
    const move = async (to: Cursor): Promise<void> => {
      await cursors.move(name, to);
      cursor = to;
    };
    try {
      while (cursor.next < end) {
        const to = Math.min(end, cursor.next + BATCH);
        for await (const entry of ledger.entries(cursor.next, to)) {
          if (!lease.held) return;
          const news = newsOf(entry);
          if (!news || !this.#wants(news)) continue;
          await this.parts.deliver(news);
          await move({ ...cursor, next: entry.index + 1 });
        }
        if (cursor.next < to) await move({ ...cursor, next: to });
      }
      const standing = (await this.parts.standing()).filter(this.#wants);
      for (const news of standing) {
        if (!lease.held) return;
        if (cursor.told.includes(news.id)) continue;
        await this.parts.deliver(news);
        await move({ ...cursor, told: [...cursor.told, news.id] });
      }
      const told = cursor.told.filter((id) => standing.some((news) => news.id === id));
      if (told.length < cursor.told.length) await move({ ...cursor, told });
    } catch (thrown) {
      await cursors.failed(name, thrown instanceof Error ? thrown.message : String(thrown)).catch(() => undefined);
      throw thrown;
    }
  }
}

const any = (globs: readonly string[] | undefined): ((value: string | null) => boolean) => {
  if (globs === undefined || globs.includes('*')) return () => true;
  const all = globs.map((glob) => globMatcher(glob));
  return (value) => value !== null && all.some((matches) => matches(value));
};

/** Whether a filter wants something. What belongs to no repository or environment is wanted by who wants all of them. */
export function wanted({ types, repositories, environments, outcomes }: NewsFilter): (news: News) => boolean {
  const [type, repository, environment, outcome] = [any(types), any(repositories), any(environments), any(outcomes)];
  return (news) =>
    type(news.type) && repository(news.repository) && environment(news.environment) && outcome(news.outcome);
}
