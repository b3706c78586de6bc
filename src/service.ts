import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { policyCache } from './adapters/folder/cache-folder.js';
import { ImpactFiles } from './adapters/folder/impact-files.js';
import { RegoCompiler } from './adapters/opa/compiler.js';
import { RegoEvaluator } from './adapters/opa/evaluator.js';
import { type DestinationState, PostgresCursors } from './adapters/postgres/cursors.js';
import type { PostgresLedger } from './adapters/postgres/ledger.js';
import { PostgresPast } from './adapters/postgres/past-decisions.js';
import { PostgresRecords } from './adapters/postgres/records.js';
import { SandboxRenderer } from './adapters/render/renderer.js';
import { type Answers, openAnswers } from './service/answers.js';
import type { AdmissionOptions } from './api/admission.js';
import type { AuditWebhookOptions } from './api/audit-webhook.js';
import type { AuditState } from './service/attributing.js';
import { FencedLedger } from './audit/fenced-ledger.js';
import type { Lease, Leases } from './audit/lease.js';
import type { Ledger } from './audit/ledger.js';
import { parseTrust } from './audit/policy-file.js';
import type { Grant } from './change/grant.js';
import { ManifestCache } from './change/manifest-cache.js';
import { RenderedFolders } from './change/rendered-folders.js';
import type { JsonObject } from './cluster/object.js';
import { Redactor } from './cluster/secret.js';
import { type Commentary, warn } from './commentary.js';
import { writerOf } from './config/target.js';
import { type Config, withoutSecrets } from './config.js';
import { shareDuties } from './service/duties.js';
import { CountersignError, toCountersignError } from './errors.js';
import { openFollowing, type OpenRepository } from './service/following.js';
import { openGates } from './service/gates.js';
import { hear } from './service/hearing.js';
import { readiness } from './service/readiness.js';
import { bypassEntry } from './reconcile/bypass-entry.js';
import { Deployments, type DeploymentsParts, type LeasedRecords } from './reconcile/deployments.js';
import { ListedLive } from './reconcile/listed-live.js';
import { RecordedRefs } from './reconcile/recorded-refs.js';
import type { EnvironmentProgress } from './reconcile/progress.js';
import { RecordedRuns } from './reconcile/recorded-runs.js';
import type { ReportsState } from './report/cluster-reports.js';
import { openReports } from './service/reporting.js';
import { AccessLog } from './review/access-log.js';
import { serviceEntry } from './review/entries.js';
import type { Standing } from './review/governance.js';
import { ImpactJobs, type ImpactReport } from './review/impact-jobs.js';
import { LoginApprovals } from './review/login-approvals.js';
import { type PusherClaim, PusherClaims } from './review/pusher.js';
import type { Records } from './review/records.js';
import { repairIndexes } from './review/repair-indexes.js';
import { describeTrouble } from './review/trouble.js';
import { openStorage } from './service/storage.js';
import { openTargets } from './service/targets.js';

/** The running service: everything but its HTTP side. */
export interface Service {
  readonly config: Config;
  readonly ledger: PostgresLedger;
  readonly records: Records;
  readonly dataSource: DataSource;
  /** The work that is shared with other instances. */
  readonly leases: Leases;
  readonly answers: Answers;
  /** What the policy at a commit would have done to what was decided since, as far as that is known by now. */
  readonly impact: (repository: string, commit: string, since: string) => Promise<ImpactReport>;
  /** How far each destination was told. */
  readonly notifications: () => Promise<readonly DestinationState[]>;
  /** Whether it can do all of its work right now, and why not. */
  ready(): Promise<{ readonly ok: boolean; readonly reasons: readonly string[] }>;
  /** What strangers are shown: where there are witnesses, the newest checkpoint that enough of them signed. */
  readonly checkpoint: () => Promise<string>;
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
  const opened = new AsyncDisposableStack();
  const close = (): Promise<void> => opened.disposeAsync();
  try {
    // 1. What must be there before anything is judged: database, keys, log.
    const version = await packageVersion();
    const onFault = (fault: CountersignError): void =>
      commentary[fault.code === 'log-behind' ? 'error' : 'warn']({ trouble: describeTrouble(fault) }, fault.message);
    const storage = await openStorage(config, { version, onFault }, opened);
    const { dataSource, keys, ledger, records, channel, leases, logDuties, checkpoint } = storage;

    // 2. What a process that died left open.
    await repairIndexes(ledger, records);
    const id = randomUUID();
    const configuration = JSON.parse(JSON.stringify(withoutSecrets(config))) as JsonObject;
    await ledger.record(async (transaction) => {
      transaction.append(serviceEntry({ id, version, configuration, time: new Date().toISOString() }));
    });

    // 3. Policy, under limits.
    const compiler = new RegoCompiler({ cache: policyCache() });
    opened.defer(() => compiler.close());
    const evaluator = new RegoEvaluator({
      timeLimit: config.limits.evaluationMilliseconds,
      maxPages: Math.floor(config.limits.wasmMemoryBytes / 65_536),
    });
    opened.defer(() => evaluator.close());

    // 4. Targets.
    const redactor = new Redactor((data) => keys.redaction.digest(data), keys.redaction.id);
    const { clusters, live, attributing } = await openTargets(
      config,
      storage,
      (trouble, target) => commentary.warn({ target, trouble }, trouble.message),
      opened,
    );
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
    opened.defer(() => gates.close());
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
    opened.defer(() => deployments.close());

    // 5. Repositories.
    const renderer = new SandboxRenderer();
    opened.defer(() => renderer.close());
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
    opened.defer(() => impacts.close());
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
      onTrouble: (target, fault) => warn(commentary, fault, { target }, 'reports'),
    });
    const tellReports = (repository: string, environment: string): void => {
      for (const one of reports.values()) one.refresh({ repository, environment });
    };
    opened.defer(async () => void (await Promise.all([...reports.values()].map((one) => one.stop()))));
    for (const { shared } of repositories.values()) opened.defer(() => shared.stop());
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
    opened.defer(() => log.close());
    const approving = {
      log,
      approvals: new LoginApprovals(new Map([...repositories].map(([name, { shared }]) => [name, shared])), records),
    };
    commentary.info({ version, data: config.data }, 'following');

    // 6. What is done beside, and what is answered.
    const cursors = new PostgresCursors(dataSource);
    shareDuties(config, { ...storage, clusters, cursors, commentary }, opened);
    const notifications: Service['notifications'] = async () => cursors.states(await ledger.size());
    logDuties.start(); // the mirrors are there by now, which anchors are written through
    const ready = () => readiness(dataSource, records, deployments, logDuties);
    const impact = (repository: string, commit: string, since: string): Promise<ImpactReport> =>
      impacts.ask(repository, commit, since);
    const answers = openAnswers({
      ...storage,
      clusters,
      repositories,
      deployments,
      redactor,
      cache,
      compiler,
      evaluator,
      standing,
    });
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
    return { config, answers, ledger, records, dataSource, leases, close, hint, approving, ready, progress: () => deployments.progress(), notifications, impact, checkpoint, targets, admission, audit }; // prettier-ignore
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
