import type { DataSource } from 'typeorm';
import { contentsOf, entryOf } from '../../audit/statement.js';
import { identityKey, identityOf, isJsonObject, type KubernetesObject } from '../../cluster/object.js';
import { toCountersignError } from '../../errors.js';
import { type OwnersAsked, ownersOfPath } from '../../change/owners.js';
import type { BundleSources, PolicyBundle } from '../../policy/bundle.js';
import type { PolicyInput } from '../../policy/input.js';
import type { StarterSettings } from '../../policy/sources.js';
import type { PastDecision, PastDecisions, PastRange } from '../../review/impact.js';
import type { LiveEnvironment, LiveEnvironments } from '../../review/judge-live.js';
import { openDatabase } from './connect.js';
import { notedDatabase } from './embedded.js';
import { contentOfEntry, loadContents, withoutSalt } from './content-store.js';
import { rowsOf } from './log-storage.js';

interface LiveRow {
  readonly api_group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
  readonly line: number;
}

interface Row {
  readonly id: string;
  readonly log_index: string;
  readonly repository: string;
  readonly environment: string;
  readonly time: Date;
  readonly outcome: PastDecision['outcome'];
  readonly violations: PastDecision['violations'];
  readonly required: PastDecision['required'];
  readonly leaf: Buffer;
}

const WITHIN = `log_index > $1 AND time >= CAST($2 AS timestamptz) AND ($3::text IS NULL OR repository = $3)`;

/** As `openLogForReading` opens a data folder's database. Throws `data-folder`, `database-unavailable`. */
export async function openPast(data: string, url?: string): Promise<PostgresPast> {
  const running = url ?? (await notedDatabase(data));
  return new PostgresPast(await openDatabase(running === undefined ? { data } : { url: running }, { readOnly: true }));
}

/** Recorded decisions, and what they left running, from the database of a log; also beside its running service. */
export class PostgresPast implements PastDecisions, LiveEnvironments {
  constructor(private readonly dataSource: DataSource) {}

  async count({ after, since, repository }: PastRange): Promise<number> {
    const [{ count }] = await rowsOf<{ count: string }>(this.dataSource, `SELECT count(*) FROM decision WHERE ${WITHIN}`, [after, since, repository]); // prettier-ignore
    return Number(count);
  }

  async read({ after, since, repository }: PastRange, limit: number): Promise<readonly PastDecision[]> {
    const rows = await rowsOf<Row>(
      this.dataSource,
      `SELECT decision.*, leaf FROM (SELECT id, log_index, repository, environment, time, outcome, violations, required FROM decision
         WHERE ${WITHIN} ORDER BY log_index LIMIT $4) AS decision JOIN log_entry USING (log_index) ORDER BY log_index`,
      [after, since, repository, limit],
    );
    const references = rows.map(({ log_index, leaf }) => contentsOf(entryOf(Number(log_index), leaf).predicate).get('input')); // prettier-ignore
    const inputs = await loadContents(this.dataSource.manager, references.flatMap((one) => (one ? [one.sha256] : []))); // prettier-ignore
    return rows.map(({ log_index, time, leaf: _leaf, ...row }, i) => {
      const reference = references[i];
      const stored = reference && inputs.get(reference.sha256);
      const input = stored ? withoutSalt(stored, reference).toString('utf8') : null;
      return { ...row, index: Number(log_index), time: time.toISOString(), input };
    });
  }

  async recent(repository: string, count: number): Promise<readonly PastDecision[]> {
    const [oldest] = await rowsOf<{ index: string }>(
      this.dataSource,
      `SELECT min(log_index) AS index FROM (SELECT log_index FROM decision WHERE repository = $1 AND log_index IS NOT NULL
         ORDER BY log_index DESC LIMIT $2) AS newest HAVING count(*) > 0`,
      [repository, count],
    );
    return oldest
      ? this.read({ repository, since: '1970-01-01T00:00:00Z', after: Number(oldest.index) - 1 }, count)
      : [];
  }

  async newest(repository: string): Promise<number | null> {
    const [row] = await rowsOf<{ index: string | null }>(this.dataSource, 'SELECT max(log_index) AS index FROM decision WHERE repository = $1', [repository]); // prettier-ignore
    return row?.index === null || row === undefined ? null : Number(row.index);
  }

  async repositories(): Promise<readonly string[]> {
    return (await rowsOf<{ repository: string }>(this.dataSource, 'SELECT DISTINCT repository FROM decision ORDER BY 1', [])).map((row) => row.repository); // prettier-ignore
  }

  /** Where anything runs. */
  async targets(): Promise<readonly string[]> {
    return (await rowsOf<{ target: string }>(this.dataSource, 'SELECT DISTINCT target FROM live_object ORDER BY 1', [])).map((row) => row.target); // prettier-ignore
  }

  /** One content of a decision's entry, as JSON. Throws `content-missing`. */
  async contentOf<T>(index: number, role: string): Promise<T> {
    return JSON.parse((await contentOfEntry(this.dataSource.manager, index, role)).toString('utf8')) as T;
  }

  /** The starter rules and their settings that judged a decision; the usual ones where that was not kept. */
  async starterAt(index: number): Promise<StarterSettings> {
    try {
      const [{ starter }, { data }] = await Promise.all([
        this.contentOf<BundleSources>(index, 'rego'),
        this.contentOf<Pick<PolicyBundle, 'data'>>(index, 'policy'),
      ]);
      const ours = isJsonObject(data) ? data['countersign'] : undefined;
      const settings = isJsonObject(ours) ? ours['settings'] : undefined;
      return { ...starter, ...(isJsonObject(settings) ? { data: settings } : {}) };
    } catch (thrown) {
      if (toCountersignError(thrown).code === 'content-missing') return {};
      throw thrown;
    }
  }

  close(): Promise<void> {
    return this.dataSource.destroy();
  }

  async teams({
    repository,
    environment,
  }: Pick<LiveEnvironment, 'repository' | 'environment'>): Promise<ReadonlyMap<string, readonly string[]>> {
    const rows = await rowsOf<{ decision: string; paths: string[] }>(
      this.dataSource,
      'SELECT decision, array_agg(DISTINCT path) AS paths FROM live_object WHERE repository = $1 AND environment = $2 GROUP BY decision',
      [repository, environment],
    );
    const teams = new Map<string, readonly string[]>();
    for (const { decision, paths } of rows) {
      const owners = await this.#ownersAt(Number(decision));
      for (const path of paths) {
        const owning = ownersOfPath(owners, path);
        if (owning.length > 0) teams.set(path, owning);
      }
    }
    return teams;
  }

  async #ownersAt(index: number): Promise<readonly OwnersAsked[]> {
    try {
      return (await this.contentOf<PolicyInput>(index, 'input')).owners ?? [];
    } catch (thrown) {
      if (['content-missing', 'not-found'].includes(toCountersignError(thrown).code)) return []; // of another log, or erased
      throw thrown;
    }
  }

  async *all(repository: string | null, environment: string | null = null): AsyncIterable<LiveEnvironment> {
    const rows = await rowsOf<{
      repository: string;
      name: string;
      target: string;
      approved: string;
      log_index: string;
      time: Date;
    }>(
      this.dataSource,
      `SELECT environment.repository, environment.name, environment.target, approved, decision.log_index, decision.time FROM environment
       JOIN decision ON decision.id = approved_decision
       WHERE target IS NOT NULL AND decision.log_index IS NOT NULL
         AND ($1::text IS NULL OR environment.repository = $1) AND ($2::text IS NULL OR environment.name = $2) ORDER BY 1, 2`,
      [repository, environment],
    );
    for (const row of rows) {
      const index = Number(row.log_index);
      const live = await rowsOf<LiveRow>(
        this.dataSource,
        'SELECT api_group, kind, namespace, name, path, line FROM live_object WHERE repository = $1 AND environment = $2',
        [row.repository, row.name],
      );
      if (live.length === 0) continue;
      const places = new Map(live.map(({ api_group: group, path, line, ...rest }) => [identityKey({ ...rest, group, version: '' }), { path, line }])); // prettier-ignore
      const rendered = await this.contentOf<readonly KubernetesObject[]>(index, 'rendered');
      const objects = rendered.flatMap((object) => {
        const source = places.get(identityKey(identityOf(object)));
        return source ? [{ object, source }] : [];
      });
      const bundle = await this.contentOf<Omit<PolicyBundle, 'wasm'>>(index, 'policy');
      const wasm = new Uint8Array(await contentOfEntry(this.dataSource.manager, index, 'wasm'));
      const input = (await contentOfEntry(this.dataSource.manager, index, 'input')).toString('utf8');
      const { approved: commit, time, target } = row;
      const about = { repository: row.repository, environment: row.name, target, commit, decision: index, time: time.toISOString() }; // prettier-ignore
      yield { ...about, objects, input, bundle: { ...bundle, wasm } };
    }
  }
}
