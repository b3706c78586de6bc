import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { policyCache } from './adapters/folder/cache-folder.js';
import { ImpactFiles } from './adapters/folder/impact-files.js';
import { instanceId } from './adapters/folder/instance-id.js';
import { openKeys } from './adapters/keys/file.js';
import { openCluster } from './adapters/kubernetes/cluster.js';
import { RegoCompiler } from './adapters/opa/compiler.js';
import { RegoEvaluator } from './adapters/opa/evaluator.js';
import { Channel } from './adapters/postgres/channel.js';
import { openDatabase } from './adapters/postgres/connect.js';
import { PostgresCosigned } from './adapters/postgres/cosigned.js';
import { type DestinationState, PostgresCursors } from './adapters/postgres/cursors.js';
import { applicationOf, PostgresLeases } from './adapters/postgres/leases.js';
import { openLedger, type PostgresLedger } from './adapters/postgres/ledger.js';
import { PostgresPast } from './adapters/postgres/past-decisions.js';
import { PostgresQueries } from './adapters/postgres/queries.js';
import { PostgresRecords } from './adapters/postgres/records.js';
import { SandboxRenderer } from './adapters/render/renderer.js';
import type { AdmissionOptions } from './api/admission.js';
import type { AuditWebhookOptions } from './api/audit-webhook.js';
import { Attributing, type AuditState } from './attributing.js';
import { FencedLedger } from './audit/fenced-ledger.js';
import type { Lease, Leases } from './audit/lease.js';
import type { Ledger } from './audit/ledger.js';
import type { MirroredLog } from './audit/mirroring.js';
import { parseTrust } from './audit/policy-file.js';
import type { Grant } from './change/grant.js';
import { ManifestCache } from './change/manifest-cache.js';
import { RenderedFolders } from './change/rendered-folders.js';
import { beginClusterNews } from './cluster-news.js';
import type { JsonObject } from './cluster/object.js';
import { Redactor } from './cluster/secret.js';
import { writerOf } from './config-target.js';
import { type Config, withoutSecrets } from './config.js';
import { CountersignError, toCountersignError } from './errors.js';
import { openFollowing, type OpenRepository } from './following.js';
import { openGates } from './gates.js';
import { hear } from './hearing.js';
import { openBlaming, openOrphans, type OrphansQuestion, type TargetOrphans } from './inquiries.js';
import { openLogDuties } from './log-duties.js';
import { beginNotifying } from './notifying.js';
import type { Explanation } from './policy/explain.js';
import { readiness } from './readiness.js';
import type { ApiWrite } from './reconcile/audit-trail.js';
import { bypassEntry } from './reconcile/bypass-entry.js';
import type { Cluster } from './reconcile/cluster.js';
import {
  Deployments,
  type DeploymentsParts,
  type EnvironmentProgress,
  type LeasedRecords,
} from './reconcile/deployments.js';
import { ListedLive } from './reconcile/listed-live.js';
import { WatchedInventory } from './reconcile/live-inventory.js';
import { RecordedRefs } from './reconcile/recorded-refs.js';
import { RecordedRuns } from './reconcile/recorded-runs.js';
import type { BlameAnswer, BlameQuestion } from './report/blame-question.js';
import type { ReportsState } from './report/cluster-reports.js';
import { allCatalogues, catalogueFiles, type GovernedControls } from './report/controls.js';
import { Feed } from './report/feed.js';
import type { Queries } from './report/queries.js';
import { openReports } from './reporting.js';
import { beginRetaining } from './retaining.js';
import { AccessLog } from './review/access-log.js';
import { serviceEntry } from './review/entries.js';
import { explainDecision } from './review/explain-decision.js';
import type { Standing } from './review/governance.js';
import { ImpactJobs, type ImpactReport } from './review/impact-jobs.js';
import { LoginApprovals } from './review/login-approvals.js';
import {
  type Holding,
  holdings,
  type PromotionAnswer,
  type PromotionQuestion,
  Promotions,
} from './review/promotions.js';
import { type PusherClaim, PusherClaims } from './review/pusher.js';
import type { DecisionRecord, Records } from './review/records.js';
import { repairIndexes } from './review/repair-indexes.js';
import { describeTrouble } from './review/trouble.js';
import type { TagSignature } from './source/signature.js';
import { openWitnessing } from './witnessing.js';

/** Where the service's running commentary goes. The log that counts is the ledger. */
export interface Commentary {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** The running service: everything but its HTTP side. */
export interface Service {
  readonly config: Config;
  readonly ledger: PostgresLedger;
  readonly records: Records;
  readonly dataSource: DataSource;
  /** The work that is shared with other instances. */
  readonly leases: Leases;
  /** Who set each field of a live object. */
  readonly blame: (question: BlameQuestion, queries: Queries) => Promise<BlameAnswer>;
  readonly promotion: (question: PromotionQuestion) => Promise<PromotionAnswer>;
  /** Of each environment that governance in force defines; null where nothing governs. */
  readonly holdings: (repository: string) => readonly Holding[] | null;
  /** By the governance in force; null where nothing governs. */
  readonly controls: (repository: string) => Promise<GovernedControls | null>;
  /** Annotated tags of a commit, with their verdicts. */
  readonly tags: (repository: string, commit: string) => Promise<readonly TagSignature[]>;
  /** What is in governed namespaces that no commit explains. */
  readonly orphans: (question: OrphansQuestion) => Promise<readonly TargetOrphans[]>;
  /** What the policy at a commit would have done to what was decided since, as far as that is known by now. */
  readonly impact: (repository: string, commit: string, since: string) => Promise<ImpactReport>;
  /** Why a recorded decision came out as it did. */
  readonly explain: (decision: DecisionRecord, trace: boolean) => Promise<readonly Explanation[]>;
  /** How far each destination was told. */
  readonly notifications: () => Promise<readonly DestinationState[]>;
  /** Whether it can do all of its work right now, and why not. */
  ready(): Promise<{ readonly ok: boolean; readonly reasons: readonly string[] }>;
  /** What strangers are shown: where there are witnesses, the newest checkpoint that enough of them signed. */
  checkpoint(): Promise<string>;
  /** The configured targets, and how the reports in each are. */
  readonly targets: () => readonly {
    readonly name: string;
    readonly reports: ReportsState;
    readonly audit: AuditState | null;
  }[];
  /** The validating webhook, where it is configured. */
  readonly admission: Pick<AdmissionOptions, 'view' | 'recordBypass' | 'admitted'>;
  /** Where API servers' audit events go. */
  readonly audit: AuditWebhookOptions;
  /** Approvals by people who log in, and where those are logged who may not. */
  readonly approving: { readonly approvals: LoginApprovals; readonly log: AccessLog };
  /** Looks at a repository now rather than at its next poll; a webhook may say whose push it is about. */
  hint(repository: string, claim: PusherClaim | null): void;
  /** How far each environment is that goes to a target. */
  progress(): Promise<readonly EnvironmentProgress[]>;
  /** Finishes what is under way, in order, and stops what it started. */
  close(): Promise<void>;
}

/**
 * Starts the service: database, log, policy, one follower a repository, one reconciler an environment. Whatever was begun is
 * stopped again when a later step throws.
 */
export async function startService(
  config: Config,
  commentary: Commentary,
  options: Pick<DeploymentsParts, 'rebuild'> = {},
): Promise<Service> {
  const warn = (fault: CountersignError): void => commentary.warn({ trouble: describeTrouble(fault) }, fault.message);
  const opened: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    while (opened.length > 0) await opened.pop()!();
  };
  try {
    // 1. What must be there before anything is judged: database, keys, log.
    await mkdir(config.data, { recursive: true, mode: 0o700 });
    const instance = await instanceId(config.data);
    const dataSource = await openDatabase(
      config.database === 'embedded' ? { data: config.data } : { url: config.database, data: config.data },
      { application: applicationOf(instance) },
    );
    opened.push(() => dataSource.destroy());
    const keys = await openKeys({ data: config.data, origin: config.log.origin });
    const ledger = await openLedger({ dataSource, keys, origin: config.log.origin, dataDir: config.data });
    opened.push(() => ledger.close());
    const records = new PostgresRecords(dataSource);
    const version = await packageVersion();
    const channel = new Channel(dataSource, instance);
    opened.push(() => channel.close());
    const leases = await PostgresLeases.open({
      channel,
      id: instance,
      name: config.instance,
      version,
      onFault: warn,
    });
    opened.push(() => leases.close());
    const cosigned = new PostgresCosigned(dataSource);
    if (config.log.witnesses) {
      const witnessing = await openWitnessing(config.log.witnesses, keys, ledger, cosigned, warn);
      const duty = leases.share('duty', 'witnesses', witnessing);
      opened.push(() => duty.withdraw());
    }
    const checkpoint = async (): Promise<string> =>
      (config.log.witnesses && (await cosigned.newest())) ?? (await ledger.checkpoint());
    const { readTile } = ledger;
    const copied: MirroredLog = {
      readTile,
      checkpoint,
      newest: () => ledger.checkpoint(),
      storedDigests: (digests) => ledger.storedDigests(digests),
      storedContent: (digest) => ledger.storedContent(digest),
    };
    const logDuties = await openLogDuties(config, keys, leases, copied, (fault) =>
      commentary[fault.code === 'log-behind' ? 'error' : 'warn']({ trouble: describeTrouble(fault) }, fault.message),
    );
    opened.push(() => logDuties.stop());

    // 2. What a process that died left open.
    await repairIndexes(ledger, records);
    const id = randomUUID();
    const configuration = JSON.parse(JSON.stringify(withoutSecrets(config))) as JsonObject;
    await ledger.record(async (transaction) => {
      transaction.append(serviceEntry({ id, version, configuration, time: new Date().toISOString() }));
    });

    // 3. Policy, under limits.
    const compiler = new RegoCompiler({ cache: policyCache() });
    opened.push(() => compiler.close());
    const evaluator = new RegoEvaluator({
      timeLimit: config.limits.evaluationMilliseconds,
      maxPages: Math.floor(config.limits.wasmMemoryBytes / 65_536),
    });
    opened.push(() => evaluator.close());

    // 4. Targets.
    const redactor = new Redactor((data) => keys.redaction.digest(data), keys.redaction.id);
    const clusters = new Map<string, Cluster>();
    const agent = `countersign (${config.instance})`;
    for (const { name, kubeconfig, context, allowExec } of config.targets) {
      const cluster = await openCluster({ name, kubeconfig, context, allowExec, agent });
      opened.push(() => cluster.close());
      clusters.set(name, cluster);
    }
    const live = new WatchedInventory(clusters);
    opened.push(() => live.close());
    const tellWrites = async (target: string, writes: readonly ApiWrite[]): Promise<void> => {
      if (leases.isAlone || (await channel.tell('writes', { target, writes })) || writes.length < 2) return;
      const half = writes.length >> 1;
      await tellWrites(target, writes.slice(0, half));
      await tellWrites(target, writes.slice(half));
    };
    const attributing: Attributing = new Attributing({
      tell: (target, writes) => void tellWrites(target, writes),
      clusters,
      targets: config.targets,
      ledger,
      records,
      onFault: (trouble, target) => commentary.warn({ target, trouble }, trouble.message),
    });
    opened.push(() => attributing.close());
    channel.hear('writes', (body) => {
      const { target, writes } = body as { readonly target: string; readonly writes: readonly ApiWrite[] };
      attributing.heardElsewhere(target, writes);
    });
    await attributing.start();
    const claims = new Map<string, PusherClaims>();
    const within = (ledgerThere: Ledger, recordsThere: Records) => ({
      ledger: ledgerThere,
      records: recordsThere,
      runs: new RecordedRuns(ledgerThere, recordsThere, (event) => {
        attributing.recorded(event);
        if (!event.end) deployments.runs(event.run);
      }),
      refs: new RecordedRefs(ledgerThere, recordsThere, claims),
    });
    const { runs, refs } = within(ledger, records);
    /** What is recorded under a lease, and not any more when that is another's. */
    const under = (lease: Lease): LeasedRecords =>
      within(new FencedLedger(ledger, lease), new PostgresRecords(dataSource, lease));
    const granting = [...config.targets, ...config.gates];
    const grants = new Map<string, readonly Grant[]>(granting.map((target) => [target.name, target.grants]));
    const gates = await openGates(config);
    opened.push(() => gates.close());
    const deployments = new Deployments({
      clusters,
      grants,
      gateOf: (target, repository) => gates.of(target, repository),
      leases,
      under,
      writerOf: (target, repository, environment) => writerOf(config.targets, target, repository, environment),
      runs,
      refs,
      records,
      redactor,
      trust: parseTrust(keys.log.vkey, 'our own key'),
      onFault: (trouble, repository, environment) =>
        commentary.warn({ repository, environment, trouble }, trouble.message),
      ...options,
      onRollout: (repository, news) => repositories.get(repository)?.shared.rolledOut(news),
      onShown: (repository, environment) => {
        tellReports(repository, environment);
        void channel.tell('shown', { repository, environment });
      },
    });
    opened.push(() => deployments.close());

    // 5. Repositories.
    const renderer = new SandboxRenderer();
    opened.push(() => renderer.close());
    const cache = new ManifestCache(
      64 * 1024 * 1024,
      { bytes: config.limits.manifestBytes },
      new RenderedFolders(renderer),
    );
    const past = new PostgresPast(dataSource);
    const impacts = new ImpactJobs({
      past,
      live: new ListedLive(past, (target) => clusters.get(target), redactor),
      evaluator,
      states: new ImpactFiles(config.data, config.data),
      bundleOf: async (repository, commit) => {
        const read = repositories.get(repository)?.bundleAt;
        if (read) return read(commit);
        throw new CountersignError('not-found', `no repository ${repository.slice(0, 80)} is followed here`);
      },
    });
    opened.push(() => impacts.close());
    const standing = (repository: string): Standing | null => repositories.get(repository)?.shared.standing ?? null;
    const repositories: ReadonlyMap<string, OpenRepository> = await openFollowing({
      config,
      ledger,
      records,
      leases,
      under,
      evaluator,
      redactor,
      cache,
      grants,
      mostCommits: config.limits.commits,
      live,
      past,
      compile: (sources) => compiler.compile(sources),
      deployments,
      tell: {
        look: (repository, claim) => void channel.tell('look', { repository, claim }),
        approvals: (repository, ids) => void channel.tell('approvals', { repository, ids }),
        rolledOut: (repository, news) => void channel.tell('rollout', { repository, news }),
        stays: (repository, environment, trouble) => void channel.tell('stays', { repository, environment, trouble }),
      },
      onDecided: ({ repository, environment, outcome, index, violations }) => {
        commentary.info(
          { repository, environment, outcome, index, violations: violations.length },
          `decision ${outcome}`,
        );
        tellReports(repository, environment);
        void channel.tell('recorded', { repository, environment });
      },
      onReturned: (action) =>
        commentary.warn({ ...action }, action.refusal ?? `${action.environment} goes back to ${action.to}`),
      onRecorded: (repository) => void channel.tell('recorded', { repository }),
      onFault: (repository, trouble, message) => commentary.warn({ repository, trouble }, message),
    });
    const reports = openReports(clusters, leases, {
      records,
      past,
      evaluator,
      standing,
      origin: keys.origin,
      onTrouble: (target, trouble) =>
        commentary.warn({ target, trouble: describeTrouble(trouble) }, `reports: ${trouble.message}`),
    });
    const tellReports = (repository: string, environment: string): void => {
      for (const one of reports.values()) one.refresh({ repository, environment });
    };
    opened.push(async () => void (await Promise.all([...reports.values()].map((one) => one.stop()))));
    for (const { shared } of repositories.values()) opened.push(() => shared.stop());
    const vouch = (repository: string, claim: PusherClaim | null): void => {
      if (claim && gates.moved(repository, claim.ref)) refs.vouch(repository, claim);
    };
    hear(channel, { repositories, deployments, tellReports, vouch });
    for (const { shared } of repositories.values()) shared.start();
    const hint = (repository: string, claim: PusherClaim | null): void => {
      vouch(repository, claim);
      repositories.get(repository)?.shared.hint(claim);
    };
    const log = new AccessLog(ledger, (thrown) =>
      commentary.error({ trouble: describeTrouble(toCountersignError(thrown)) }, 'a refusal could not be logged'),
    );
    opened.push(() => log.close());
    const approving = {
      log,
      approvals: new LoginApprovals(new Map([...repositories].map(([name, { shared }]) => [name, shared])), records),
    };
    commentary.info({ version, data: config.data }, 'following');
    const told = new Map([...clusters].filter(([name]) => config.targets.find((one) => one.name === name)?.events));
    if (told.size > 0) {
      const telling = {
        feed: new Feed(ledger),
        records,
        origin: keys.origin,
        onTrouble: (target: string, trouble: CountersignError) =>
          commentary.warn({ target, trouble: describeTrouble(trouble) }, `events: ${trouble.message}`),
      };
      const duty = leases.share('duty', 'events', async (lease) => beginClusterNews(told, telling, lease));
      opened.push(() => duty.withdraw());
    }
    const cursors = new PostgresCursors(dataSource);
    if (config.notifications.length > 0) {
      const notifying = {
        ledger,
        records,
        cursors,
        origin: keys.origin,
        logFaults: () => logDuties.faults(),
        onFault: (destination: string, fault: CountersignError) =>
          commentary.warn({ destination, trouble: describeTrouble(fault) }, `notifications: ${fault.message}`),
      };
      const duty = leases.share('duty', 'notifications', (lease) =>
        beginNotifying(config.notifications, notifying, lease),
      );
      opened.push(() => duty.withdraw());
    }
    const retaining = leases.share('duty', 'retention', (lease) =>
      beginRetaining(
        {
          dataSource,
          ledger,
          retention: config.retention,
          onFault: (fault) => commentary.warn({ trouble: describeTrouble(fault) }, `retention: ${fault.message}`),
          onRemoved: ({ removed, held }) => commentary.info({ removed, held }, 'contents had been kept long enough'),
        },
        lease,
      ),
    );
    opened.push(() => retaining.withdraw());
    const notifications: Service['notifications'] = async () => cursors.states(await ledger.size());
    logDuties.start(); // the mirrors are there by now, which anchors are written through
    const ready = () => readiness(dataSource, records, deployments, logDuties);
    const impact = (repository: string, commit: string, since: string): Promise<ImpactReport> =>
      impacts.ask(repository, commit, since);
    const explain = (decision: DecisionRecord, trace: boolean): Promise<readonly Explanation[]> =>
      explainDecision(decision, ledger, compiler, trace);
    const repository = (name: string) => repositories.get(name)?.mirror.repository;
    const blame = openBlaming({ clusters, deployments, redactor, cache, standing, repository });
    const promotions = new Promotions({ standing, reader: repository, evaluator, redactor, cache });
    const promotion: Service['promotion'] = (question) => promotions.ask(question);
    const held: Service['holdings'] = (name) => {
      const now = standing(name);
      return now && holdings(now);
    };
    const controls: Service['controls'] = async (name) => {
      const [governance, reader] = [standing(name)?.governance, repository(name)];
      if (!governance || !reader) return null;
      const catalogues = allCatalogues(await catalogueFiles(reader, governance.commit));
      return { catalogues, rules: governance.bundle.rules };
    };
    const tags: Service['tags'] = async (name, commit) => repositories.get(name)?.tags.of(commit) ?? [];
    const orphans = openOrphans({ queries: new PostgresQueries(dataSource), clusters });
    const targets: Service['targets'] = () =>
      [...reports].map(([name, { state }]) => ({ name, reports: state, audit: attributing.state(name) }));
    const admission: Service['admission'] = {
      view: (target) => (clusters.has(target) ? deployments.approvedIn(target) : undefined),
      admitted: (target, request) => attributing.admitted(target, request),
      recordBypass: async (target, request, reason) => {
        const time = new Date().toISOString();
        await ledger.record(async (transaction) => transaction.append(bypassEntry({ target, request, reason, time })));
      },
    };
    const audit: AuditWebhookOptions = {
      tokens: new Map(
        config.targets.flatMap(({ name, audit: by }) => (by?.token === undefined ? [] : [[name, by.token]])),
      ),
      received: (target, body) => attributing.received(target, body),
      refused: (target, reason) => attributing.refused(target, reason),
    };
    return { config, ledger, records, dataSource, leases, close, hint, approving, ready, explain, blame, orphans, promotion, progress: () => deployments.progress(), notifications, holdings: held, controls, tags, impact, checkpoint, targets, admission, audit }; // prettier-ignore
  } catch (thrown) {
    await close().catch((again: unknown) =>
      commentary.error({ trouble: describeTrouble(toCountersignError(again)) }, 'while stopping'),
    );
    throw toCountersignError(thrown);
  }
}

export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
