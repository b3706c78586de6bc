import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openZip } from '../../src/adapters/evidence/zip.js';
import { exportBundle } from '../../src/adapters/evidence/export.js';
import { allowedSigners, person, type Person as Author } from '../../src/adapters/git/scratch-repository.js';
import { readKeys } from '../../src/adapters/keys/file.js';
import type { ControlPlane, ControlPlaneUser } from '../../src/adapters/kubernetes/control-plane.js';
import { RegoEvaluator } from '../../src/adapters/opa/evaluator.js';
import { openLogForReading } from '../../src/adapters/postgres/open-log.js';
import { parseTrust } from '../../src/audit/policy-file.js';
import { undescribedIn } from '../../src/report/entries-page.js';
import type { JsonObject } from '../../src/cluster/object.js';
import type { EntryType } from '../../src/audit/entry.js';
import { verifyEvidence, type Verification } from '../../src/audit/verify.js';
import { createLogger } from '../../src/commentary.js';
import { loadConfig } from '../../src/config.js';
import { run, type RunningService } from '../../src/main.js';
import { writesIn, type ApiAuditEvent } from './approvals.js';
import { Person } from './cluster.js';
import { ScratchRepository } from '../../src/adapters/git/scratch-repository.js';
import { eventually } from './eventually.js';
import { checkInputs } from './input-schema.js';
import { Instance, shareKeys } from './instance.js';
import { decisionFields, entryFields, environmentFields, faultFields, runFields } from './world-queries.js';
import type { Decision, Entry, EnvironmentState, Fault, LiveRow, RepositoryState, Run } from './world-queries.js';

/** An environment as its team writes it. */
export const PRODUCTION = 'shop/production';

export interface WorldOptions {
  readonly plane: ControlPlane;
  /** A `postgres://` URL; the embedded one otherwise. */
  readonly database?: string;
  /** Whose rights the service has in the cluster; `countersign` otherwise. */
  readonly user?: ControlPlaneUser;
  /** Runs `countersign serve` as a child process rather than in this one. */
  readonly child?: boolean;
  /** In the service's configuration. */
  readonly poll?: string;
  /** Further settings of the target, such as `audit: {log: audit.jsonl}`. */
  readonly target?: string;
  /** Further lines of the service's configuration under `repositories:` and `targets:`; `limits:` as a whole. */
  readonly repositories?: readonly string[];
  readonly targets?: readonly string[];
  readonly limits?: string;
  /** Further processes at the same database, which must be one of a server then: named `b`, `c`, …; the first one is `a`. */
  readonly others?: number;
  /** Path of the kubeconfig, in place of the user's own. */
  readonly kubeconfig?: string;
  /** Which starter rules: `profile: baseline` unless told. */
  readonly starter?: string;
  /** Further environments in countersign.yaml; NAMESPACE stands for the world's own. */
  readonly environments?: readonly string[];
  /** Files of the first commit beside the usual ones. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface NewPush {
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly delete?: readonly string[];
  readonly author?: Author;
  readonly sign?: Author | false;
  readonly message?: string;
}

/**
 * A governed repository of two people, a service that follows it, and a namespace of a real cluster that is the world's alone.
 * Everything is seen from outside: GraphQL, the exported log, the API server and its audit log.
 */
export class World {
  readonly data: string;
  readonly configFile: string;
  dana: Person;
  /** What the service said on its standard output and error. */
  readonly said: string[] = [];
  /** Processes of the service, where it is a child. */
  readonly instances: readonly Instance[];
  #url = '';
  #running: RunningService | null = null;

  private constructor(
    private options: WorldOptions,
    readonly root: string,
    readonly repository: ScratchRepository,
    readonly namespace: string,
    readonly ann: Author,
    readonly bo: Author,
    readonly genesis: string,
  ) {
    this.data = join(root, 'data');
    this.configFile = join(root, 'service.yaml');
    this.instances = ['a', 'b', 'c'].slice(0, 1 + (options.others ?? 0)).map((name, i) => {
      const folder = i === 0 ? this.data : `${this.data}-${name}`;
      return new Instance(name, folder, this.configFile, (line) => void this.said.push(line));
    });
    this.dana = new Person(options.plane, 'dana');
  }

  /** The service is running, and the first commit is live. */
  static async open(options: WorldOptions): Promise<World> {
    const world = await World.prepare(options);
    try {
      await world.start();
      await world.live(world.genesis);
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  /** Everything but the service. */
  static async prepare(options: WorldOptions): Promise<World> {
    const root = await mkdtemp(join(tmpdir(), 'countersign-world-'));
    // The embedded database does not run as root: its own user must be able to pass through here.
    await chmod(root, 0o711);
    const namespace = `w${root
      .slice(-6)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, '0')}${(worlds++).toString(36)}`;
    const [ann, bo] = await Promise.all([person('Ann', 'ann@example.org'), person('Bo', 'bo@example.org')]);
    const repository = await ScratchRepository.create(join(root, 'repository'));
    const genesis = await repository.commit({
      author: bo,
      message: 'begin',
      files: {
        'countersign.yaml': settings(
          namespace,
          (options.environments ?? []).map((line) => line.replaceAll('NAMESPACE', namespace)),
          options.starter,
        ),
        '.countersign/allowed_signers': allowedSigners([ann, bo]),
        'environments/production/namespace.yaml': `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${namespace}}\n`,
        'environments/production/cart.yaml': cart(1),
        ...options.files,
      },
    });
    const world = new World(options, root, repository, namespace, ann, bo, genesis);
    await world.writeConfig();
    if (world.instances.length > 1) await shareKeys(world.instances.map(({ data }) => data));
    return world;
  }

  /** Another cluster in the place of the one that was lost. */
  async moveTo(plane: ControlPlane): Promise<void> {
    await this.dana.close();
    this.options = { ...this.options, plane };
    this.dana = new Person(plane, 'dana');
    await this.writeConfig();
  }

  async writeConfig(): Promise<void> {
    const { plane, user = 'countersign', database = 'embedded', poll = '150ms', target } = this.options;
    const { kubeconfig = plane.kubeconfig(user) } = this.options;
    await writeFile(
      this.configFile,
      `listen: 127.0.0.1:0
database: ${database}
log: {origin: log.example.org/world}
repositories:
  - {name: shop, url: ${this.repository.path}, trust: {commit: ${this.genesis}}, poll: ${poll}}
${(this.options.repositories ?? []).join('\n')}
targets:
  - {name: prod, kubeconfig: '${kubeconfig}', grants: [{repository: shop, namespaces: [${this.namespace}]}]${target ? `, ${target}` : ''}}
${(this.options.targets ?? []).join('\n')}
${this.options.limits ?? ''}
`,
    );
  }

  // ---- the service ----

  async start(): Promise<void> {
    if (this.options.child) {
      const [first] = this.instances;
      await first.start();
      this.ask(first);
      return;
    }
    const config = await loadConfig(this.configFile, { data: this.data, env: {} });
    const logger = createLogger('info', { write: (line) => void this.said.push(line) });
    this.#running = await run(config, logger);
    this.#url = this.#running.url;
  }

  /** From now on, whatever is asked is asked of this one. */
  ask(instance: Instance): void {
    this.#url = instance.url;
  }

  get url(): string {
    return this.#url;
  }

  /** A database of its own server only. */
  get databaseUrl(): string {
    return this.options.database ?? '';
  }

  /** In order. */
  async stop(): Promise<void> {
    await this.#running?.close();
    await Promise.all(this.instances.map((instance) => instance.stop()));
    this.#running = null;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.dana.close();
    await rm(this.root, { recursive: true, force: true, maxRetries: 5 });
  }

  // ---- Git ----

  /** Commits to the branch that is followed. Signed by Ann unless told. */
  async push({ files, delete: gone, author = this.ann, sign, message = 'change' }: NewPush): Promise<string> {
    return this.repository.commit({
      author,
      message,
      ...(files ? { files } : {}),
      ...(gone ? { delete: gone } : {}),
      ...(sign === undefined ? {} : { sign }),
    });
  }

  /** A commit that is allowed and changes the cart, and nothing else. */
  async pushGood(replicas: number, more: NewPush = {}): Promise<string> {
    return this.push({
      message: `run ${replicas}`,
      ...more,
      files: { 'environments/production/cart.yaml': cart(replicas), ...more.files },
    });
  }

  // ---- what the service says ----

  async query<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
    const response = await fetch(`${this.#url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(20_000),
    });
    const answer = (await response.json()) as { data?: T; errors?: readonly unknown[] };
    if (!answer.data || answer.errors?.length) throw new Error(`GraphQL: ${JSON.stringify(answer)}`);
    return answer.data;
  }

  async decisions(environment = PRODUCTION): Promise<Decision[]> {
    const { decisions } = await this.query<{ decisions: { nodes: Decision[] } }>(
      `query ($environment: String) { decisions(first: 200, filter: {environment: $environment}) { nodes { ${decisionFields} } } }`,
      { environment },
    );
    return decisions.nodes;
  }

  /** The newest decision on a commit, once it is in the log. */
  async decision(head: string, environment = PRODUCTION): Promise<Decision> {
    await eventually(`a decision on ${head.slice(0, 7)} of ${environment}`, async () => {
      // Asked for often, so little is asked for.
      const { decisions } = await this.query<{ decisions: { nodes: Pick<Decision, 'index' | 'change'>[] } }>(
        `query ($environment: String) { decisions(first: 20, filter: {environment: $environment}) { nodes { index change { head } } } }`,
        { environment },
      );
      return decisions.nodes.find((one) => one.change.head === head)?.index != null;
    });
    return (await this.decisions(environment)).find((one) => one.change.head === head && one.index !== null)!;
  }

  async environment(name = PRODUCTION): Promise<EnvironmentState | null> {
    const { environment } = await this.query<{ environment: EnvironmentState | null }>(
      `query ($name: String!) { environment(repository: "shop", name: $name) { ${environmentFields} } }`,
      { name },
    );
    return environment;
  }

  async repositoryState(name = 'shop'): Promise<RepositoryState> {
    const { repository } = await this.query<{ repository: RepositoryState }>(
      `query ($name: String!) { repository(name: $name) { name state governanceCommit bundleDigest trouble { code message remedy place { file line } } } }`,
      { name },
    );
    return repository;
  }

  /** Newest first; null: of every environment. */
  async runs(environment: string | null = PRODUCTION): Promise<Run[]> {
    const { runs } = await this.query<{ runs: { nodes: Run[] } }>(
      `query ($environment: String) { runs(first: 500, filter: {environment: $environment}) { nodes { ${runFields} } } }`,
      { environment },
    );
    return runs.nodes;
  }

  /** A fault of that code, once it is in the log; only those after `after` count. */
  async fault(code: string, after = ''): Promise<Fault> {
    return eventually(`a fault ${code}`, async () => {
      const { faults } = await this.query<{ faults: { nodes: Fault[] } }>(
        `query ($code: String) { faults(filter: {code: $code}) { nodes { ${faultFields} } } }`,
        { code },
      );
      return faults.nodes.find((fault) => fault.index !== null && fault.time > after) ?? null;
    });
  }

  async entries(type?: string): Promise<Entry[]> {
    const all: Entry[] = [];
    for (let after: string | null = null; ;) {
      const { entries }: EntriesPage = await this.query<EntriesPage>(
        `query ($after: String, $filter: EntryFilter) { entries(first: 500, after: $after, filter: $filter) { nodes { ${entryFields} } pageInfo { hasNextPage endCursor } } }`,
        { after, filter: type === undefined ? null : { type: [type] } },
      );
      all.push(...entries.nodes);
      if (!entries.pageInfo.hasNextPage) return all;
      after = entries.pageInfo.endCursor;
    }
  }

  async checkpoint(): Promise<string> {
    const { log } = await this.query<{ log: { checkpoint: string } }>('{ log { checkpoint } }');
    return log.checkpoint;
  }

  async objects(environment = PRODUCTION): Promise<LiveRow[]> {
    const { objects } = await this.query<{ objects: { nodes: LiveRow[] } }>(
      `query ($environment: String) { objects(first: 500, filter: {environment: $environment}) { nodes { object { kind namespace name } uid commitId decisionIndex } } }`,
      { environment },
    );
    return objects.nodes;
  }

  /** Resolves when that commit is approved and what it says is live. */
  async live(head: string, environment = PRODUCTION): Promise<void> {
    const decision = await this.decision(head, environment);
    const { outcome, error, violations } = decision;
    if (outcome !== 'allow') throw new Error(`${head} got ${outcome}: ${JSON.stringify({ error, violations })}`);
    await eventually(
      `${head.slice(0, 7)} to be live in ${environment}`,
      async () => {
        const state = await this.environment(environment);
        if (state?.approved !== head || state.trouble || !['synced', 'progressing', 'degraded'].includes(state.status))
          return null;
        const { runs } = await this.query<{ runs: { nodes: Pick<Run, 'outcome' | 'decision'>[] } }>(
          `query ($environment: String) { runs(first: 50, filter: {environment: $environment}) { nodes { outcome decision { change { head } } } } }`,
          { environment },
        );
        // A commit that changes no object of the environment needs no run.
        const unfinished = runs.nodes.some((one) => one.outcome === 'running');
        const needed = decision.change.objectChangeCount > 0;
        const done = runs.nodes.some((one) => one.decision?.change.head === head && one.outcome === 'succeeded');
        return !unfinished && (done || !needed) ? state : null;
      },
      async () => JSON.stringify({ state: await this.environment(environment), runs: await this.runs(environment) }),
    );
  }

  // ---- the cluster ----

  /** Everything of the namespace: identity to UID and resource version. */
  async snapshot(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    const own = await this.dana.get(`/api/v1/namespaces/${this.namespace}`);
    if (own) found['Namespace'] = `${own.metadata.uid} ${own.metadata.resourceVersion}`;
    for (const object of await this.liveObjects())
      found[`${object.plural}/${object.metadata.name}`] = `${object.metadata.uid} ${object.metadata.resourceVersion}`;
    return found;
  }

  async liveObjects(): Promise<Listed[]> {
    const lists = await Promise.all(
      kinds.map(async ([api, plural]) => {
        const list = (await this.dana.get(`${api}/namespaces/${this.namespace}/${plural}`)) as unknown as {
          items: Omit<Listed, 'plural'>[];
        } | null;
        return (list?.items ?? []).map((item) => ({ ...item, plural }));
      }),
    );
    return lists.flat();
  }

  path(plural: string, name: string): string {
    const [api] = kinds.find(([, known]) => known === plural)!;
    return `${api}/namespaces/${this.namespace}/${plural}/${name}`;
  }

  /** The number of replicas that the cart has, or another Deployment; null when it is not there. */
  async replicas(name = 'cart'): Promise<number | null> {
    const live = await this.dana.get(this.path('deployments', name));
    return live ? (live as unknown as { spec: { replicas: number } }).spec.replicas : null;
  }

  /** What the service has written in the world's namespace so far, by the API server's own audit log. */
  writes(user: ControlPlaneUser = this.options.user ?? 'countersign'): ApiAuditEvent[] {
    return writesIn(this.options.plane.auditLog, user).filter(({ objectRef, requestURI }) =>
      objectRef?.namespace ? objectRef.namespace === this.namespace : requestURI.includes(`/${this.namespace}?`),
    );
  }

  // ---- the whole world ----

  /**
   * What must hold after every test: the log verifies from leaf to checkpoint (and, if asked, every decision replays), what is
   * live and carries our mark has an allow logged before it was written, and every write in the API server's audit log was planned
   * by a run that was logged before.
   */
  async check({ replay = false } = {}): Promise<Verification> {
    const verification = await this.verifyLog({ replay });
    const [entries, runs, audit] = [await this.entries(), await this.runs(null), this.writes()];
    // What docs/entries.md does not tell of is not logged.
    const undescribed = entries.flatMap(({ type, predicate }) =>
      undescribedIn(type as EntryType, predicate as JsonObject),
    );
    if (undescribed.length > 0) throw new Error(`src/report/entries-page.ts does not know ${undescribed.join(', ')}`);
    const allows = new Map(
      entries
        .filter(({ type, predicate }) => type === 'decision' && predicate['outcome'] === 'allow')
        .map((entry) => [entry.index, entry]),
    );
    for (const { metadata, plural } of await this.liveObjects()) {
      if (metadata.labels?.['applyset.kubernetes.io/part-of'] === undefined) continue;
      const index = Number(metadata.annotations?.['countersign.dev/decision']);
      const allow = allows.get(index);
      if (allow?.predicate['head'] !== metadata.annotations?.['countersign.dev/commit'])
        throw new Error(`${plural}/${metadata.name} is live under entry ${index}, which is no allow of its commit`);
    }
    const started = entries.filter(({ type, predicate }) => type === 'run' && predicate['phase'] === 'started');
    for (const event of audit) {
      if ((event.responseStatus?.code ?? 0) >= 300 || isReport(event)) continue;
      const at = Date.parse(event.requestReceivedTimestamp);
      const { resource = '', name = '' } = event.objectRef ?? {};
      const explained = runs.some(({ id, planned, finishedAt }) => {
        const entry = started.find(({ predicate }) => predicate['id'] === id);
        if (!entry || Date.parse(entry.time) > at) return false;
        // Nor after it was over: whoever's lease is lost writes nothing. What was on its way then was not long.
        if (finishedAt !== null && Date.parse(finishedAt) + ON_ITS_WAY < at) return false;
        return planned.some(({ identity }) => identity.name === name && pluralOf(identity.kind) === resource);
      });
      if (!explained) throw new Error(`no run that was logged before planned ${event.verb} ${event.requestURI}`);
    }
    return verification;
  }

  /** As an auditor would: from an exported file and a trust file. Throws what is wrong. */
  async verifyLog({ replay = false, earlier }: { replay?: boolean; earlier?: string } = {}): Promise<Verification> {
    const { evidence, vkey } = await this.export();
    const evaluator = replay ? new RegoEvaluator() : undefined;
    try {
      const verification = await verifyEvidence(evidence, {
        trust: parseTrust(vkey, 'trust'),
        ...(evaluator ? { evaluator } : {}),
        ...(earlier === undefined ? {} : { earlier }),
      });
      if (verification.fault) throw verification.fault;
      await checkInputs(evidence);
      return verification;
    } finally {
      await evidence.close();
      await evaluator?.close();
    }
  }

  async export(): Promise<{ evidence: Awaited<ReturnType<typeof openZip>>; vkey: string; file: string }> {
    const keys = await readKeys(this.data);
    const { database } = this.options;
    const log = await openLogForReading(this.data, database);
    const file = join(this.root, `evidence-${exports++}.zip`);
    try {
      await exportBundle(log, keys, file, () => {});
    } finally {
      await log.close();
    }
    return { evidence: await openZip(file), vkey: keys.log.vkey, file };
  }

  /** Programs that were started for this world and are still there; asked after `stop`. */
  orphans(): string[] {
    return readdirSync('/proc').flatMap((id) => {
      if (!/^\d+$/.test(id) || Number(id) === process.pid) return [];
      try {
        const [command, folder] = [readFileSync(`/proc/${id}/cmdline`, 'utf8'), readlinkSync(`/proc/${id}/cwd`)];
        return command.includes(this.data) || folder.startsWith(this.data) ? [command.replaceAll('\0', ' ')] : [];
      } catch {
        return []; // gone meanwhile
      }
    });
  }
}

/** Reports are our own, about what runs, and no part of it. */
function isReport({ objectRef, requestURI }: ApiAuditEvent): boolean {
  if (objectRef?.resource === 'events') return true;
  return /^\/apis\/(openreports|wgpolicyk8s)\.io\//.test(requestURI) && (objectRef?.resource ?? '').endsWith('reports');
}

const pluralOf = (kind: string): string => `${kind.toLowerCase()}${kind.endsWith('s') ? 'es' : 's'}`;

/** From the last moment at which a process may send a write to its arrival at the API server, in milliseconds. */
const ON_ITS_WAY = 1_000;

export { eventually };

let worlds = 0;
let exports = 0;

interface EntriesPage {
  readonly entries: { nodes: Entry[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } };
}

interface Listed {
  readonly plural: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

const kinds = [
  ['/api/v1', 'configmaps'],
  ['/api/v1', 'secrets'],
  ['/api/v1', 'services'],
  ['/api/v1', 'serviceaccounts'],
  ['/apis/apps/v1', 'deployments'],
  ['/apis/rbac.authorization.k8s.io/v1', 'roles'],
  ['/apis/rbac.authorization.k8s.io/v1', 'rolebindings'],
] as const;

export const pinned = (name: string, digit = 'a'): string => `registry.example.org/${name}@sha256:${digit.repeat(64)}`;

/** countersign.yaml; further environments and starter settings as lines. */
export function settings(namespace: string, more: readonly string[] = [], starter = 'profile: baseline'): string {
  return `apiVersion: countersign.dev/v1
environments:
  - {name: ${PRODUCTION}, path: environments/production, target: prod, namespace: ${namespace}}
${more.map((line) => `  - ${line}\n`).join('')}policies:
  path: policies
  starter: {${starter}, data: {registries: [registry.example.org]}}
`;
}

export function cart(replicas: number, image = pinned('cart'), name = 'cart'): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      containers:
        - name: ${name}
          image: ${image}
          resources: {requests: {cpu: 10m, memory: 10Mi}, limits: {cpu: 10m, memory: 10Mi}}
`;
}

export const configMap = (name: string, value: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {value: ${JSON.stringify(value)}}\n`;
