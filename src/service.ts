import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { policyCache } from './adapters/folder/cache-folder.js';
import { openForge } from './adapters/forge/forges.js';
import { openMirror } from './adapters/git/mirror.js';
import { openCluster } from './adapters/kubernetes/cluster.js';
import { openKeys } from './adapters/keys/file.js';
import { RegoCompiler } from './adapters/opa/compiler.js';
import { SandboxRenderer } from './adapters/render/renderer.js';
import { RenderedFolders } from './change/rendered-folders.js';
import { RegoEvaluator } from './adapters/opa/evaluator.js';
import { openDatabase } from './adapters/postgres/connect.js';
import { openLedger, type PostgresLedger } from './adapters/postgres/ledger.js';
import type { Queries } from './report/queries.js';
import { PostgresQueries } from './adapters/postgres/queries.js';
import { type DestinationState, PostgresCursors } from './adapters/postgres/cursors.js';
import { beginNotifying } from './notifying.js';
import { PostgresRecords } from './adapters/postgres/records.js';
import { instanceId } from './adapters/folder/instance-id.js';
import { Channel } from './adapters/postgres/channel.js';
import { applicationOf, PostgresLeases } from './adapters/postgres/leases.js';
import { PostgresCosigned } from './adapters/postgres/cosigned.js';
import { HttpWitness } from './adapters/witness/client.js';
import { Cosigning } from './audit/cosigning.js';
import { cosigningLoop } from './audit/cosigning-loop.js';
import type { EndWork, Leases } from './audit/lease.js';
import type { KeyRing } from './audit/keys.js';
import type { MirroredLog } from './audit/mirroring.js';
import { parseVkey } from './audit/note.js';
import { parseTrust } from './audit/policy-file.js';
import type { Grant } from './change/grant.js';
import { ManifestCache } from './change/manifest-cache.js';
import { Redactor } from './cluster/secret.js';
import { writerOf } from './config-target.js';
import { ownRefs } from './config-gate.js';
import { type Config, followedIn, type WitnessConfig, withoutSecrets } from './config.js';
import { CountersignError, toCountersignError } from './errors.js';
import { openGates } from './gates.js';
import type { JsonObject } from './cluster/object.js';
import { type LogDuties, openLogDuties, requireWitnessesNotAhead } from './log-duties.js';
import { Deployments } from './reconcile/deployments.js';
import type { Cluster } from './reconcile/cluster.js';
import type { ReportsState } from './report/cluster-reports.js';
import { Attributing, type AuditState } from './attributing.js';
import { openBlaming, openOrphans, type OrphansQuestion, type TargetOrphans } from './inquiries.js';
import type { BlameAnswer, BlameQuestion } from './report/blame-question.js';
import { openReports } from './reporting.js';
import { ListedLive } from './reconcile/listed-live.js';
import { WatchedInventory } from './reconcile/live-inventory.js';
import { RecordedRefs } from './reconcile/recorded-refs.js';
import { RecordedRuns } from './reconcile/recorded-runs.js';
import { OBJECT_ID } from './source/object-id.js';
import type { Mirror } from './source/repository.js';
import { APPROVALS_REF } from './review/approval.js';
import type { AdmissionOptions } from './api/admission.js';
import type { AuditWebhookOptions } from './api/audit-webhook.js';
import { bypassEntry } from './reconcile/bypass-entry.js';
import { repairIndexes } from './review/repair-indexes.js';
import { serviceEntry } from './review/entries.js';
import { AccessLog } from './review/access-log.js';
import { type ApprovingRepository, LoginApprovals } from './review/login-approvals.js';
import { RepositoryFollower } from './review/follower.js';
import { RequestFollower } from './review/requests.js';
import { GovernanceReader } from './review/governance.js';
import { type Below, type OrganisationSource, readOrganisation } from './review/organisation.js';
import type { Explanation } from './policy/explain.js';
import { ImpactJobs, type ImpactReport } from './review/impact-jobs.js';
import { ImpactFiles } from './adapters/folder/impact-files.js';
import { PostgresPast } from './adapters/postgres/past-decisions.js';
import type { PolicyBundle } from './policy/bundle.js';
import { explainDecision } from './review/explain-decision.js';
import { CommitTags } from './review/commit-tags.js';
import {
  type Holding,
  holdings,
  type PromotionAnswer,
  type PromotionQuestion,
  Promotions,
} from './review/promotions.js';
import { allCatalogues, catalogueFiles, type GovernedControls } from './report/controls.js';
import type { TagSignature } from './source/signature.js';
import type { PusherClaim } from './review/pusher.js';
import type { DecisionRecord, Records, Trouble } from './review/records.js';
import { describeTrouble } from './review/trouble.js';

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
  /** Finishes what is under way, in order, and stops what it started. */
  close(): Promise<void>;
}

/**
 * Starts the service: database, log, policy, one follower a repository, one reconciler an environment. Whatever was begun is
 * stopped again when a later step throws.
 */
export async function startService(config: Config, commentary: Commentary): Promise<Service> {
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
      onFault: (fault) => commentary.warn({ trouble: describeTrouble(fault) }, fault.message),
    });
    opened.push(() => leases.close());
    const cosigned = new PostgresCosigned(dataSource);
    if (config.log.witnesses) {
      const witnessing = await openWitnessing(config.log.witnesses, keys, ledger, cosigned, commentary);
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
    const logDuties = await openLogDuties(config, keys, dataSource, copied, (fault) =>
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
    for (const { name, kubeconfig, context, allowExec } of config.targets) {
      const cluster = await openCluster({ name, kubeconfig, context, allowExec });
      opened.push(() => cluster.close());
      clusters.set(name, cluster);
    }
    const live = new WatchedInventory(clusters);
    opened.push(() => live.close());
    const attributing = new Attributing({
      clusters,
      targets: config.targets,
      ledger,
      records,
      onFault: (trouble, target) => commentary.warn({ target, trouble }, trouble.message),
    });
    opened.push(() => attributing.close());
    await attributing.start();
    const runs = new RecordedRuns(ledger, records, (event) => {
      attributing.recorded(event);
      if (!event.end) deployments.runs(event.run);
    });
    await runs.closeOpenRuns(new Date());
    const granting = [...config.targets, ...config.gates];
    const grants = new Map<string, readonly Grant[]>(granting.map((target) => [target.name, target.grants]));
    const refs = new RecordedRefs(ledger, records);
    const gates = await openGates(config);
    opened.push(() => gates.close());
    const deployments = new Deployments({
      clusters,
      grants,
      gateOf: (target, repository) => gates.of(target, repository),
      refs,
      ledger,
      writerOf: (target, repository, environment) => writerOf(config.targets, target, repository, environment),
      runs,
      records,
      redactor,
      trust: parseTrust(keys.log.vkey, 'our own key'),
      onFault: (trouble, repository, environment) =>
        commentary.warn({ repository, environment, trouble }, trouble.message),
      onRollout: (repository, news) => followers.get(repository)?.rolledOut(news),
      onShown: (repository, environment) => tellReports(repository, environment),
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
    const bundlesOf = new Map<string, (commit: string) => Promise<PolicyBundle>>();
    const impacts = new ImpactJobs({
      past,
      live: new ListedLive(past, (target) => clusters.get(target), redactor),
      evaluator,
      states: new ImpactFiles(config.data, config.data),
      bundleOf: async (repository, commit) => {
        const read = bundlesOf.get(repository);
        if (read) return read(commit);
        throw new CountersignError('not-found', `no repository ${repository.slice(0, 80)} is followed here`);
      },
    });
    opened.push(() => impacts.close());
    const followers = new Map<string, RepositoryFollower>();
    const standing = (repository: string) => followers.get(repository)?.standing ?? null;
    const reports = openReports(clusters, {
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
    const requests = new Map<string, RequestFollower>();
    // Of all of them, before the first one starts: each may ask for the others.
    const readers = new Map<string, { readonly mirror: Mirror; readonly governance: GovernanceReader }>();
    const tagsOf = new Map<string, CommitTags>();
    const leader = config.organisation?.name;
    const organisation: OrganisationSource | undefined =
      leader === undefined
        ? undefined
        : {
            inForce: () => standing(leader)?.governance.above ?? null,
            at: (commit) => readOrganisation(readers.get(leader)!.mirror.repository, commit, leader),
          };
    /** What a proposed policy of the organisation comes to in each of the others that it makes a difference to. */
    const below: Below = async (proposed) => {
      const found: { readonly repository: string; readonly bundle: PolicyBundle }[] = [];
      for (const { name } of config.repositories) {
        const { mirror, governance } = readers.get(name)!;
        const now = standing(name)?.governance;
        if (!now) continue;
        const { governance: next, problems } = await governance.attempt(mirror.repository, now.commit, proposed);
        for (const problem of problems)
          commentary.warn({ repository: name, trouble: describeTrouble(problem) }, `it would not go with the organisation’s new policy: ${problem.message}`); // prettier-ignore
        if (next && next.bundle.digest !== now.bundle.digest) found.push({ repository: name, bundle: next.bundle });
      }
      return found;
    };
    for (const repository of followedIn(config)) {
      const { url, refs: followed, credentials, ssh } = repository;
      const mirror = await openMirror(join(config.data, 'mirrors', `${repository.name}.git`), {
        url,
        refs: [...followed, APPROVALS_REF],
        except: ownRefs(config.gates),
        credentials,
        ssh,
      });
      const governance = new GovernanceReader((sources) => compiler.compile(sources), {
        repository: repository.name,
        leads: repository.name === leader,
        firstSeen: async (ids) => {
          const seen = await records.find('exception', { repository: repository.name, id: ids });
          return new Map(seen.map(({ id: exception, firstSeen }) => [exception, new Date(firstSeen)]));
        },
      });
      bundlesOf.set(repository.name, async (commit) => {
        if (!OBJECT_ID.test(commit)) {
          throw new CountersignError('query-invalid', `${commit.slice(0, 80)} is no full commit id`);
        }
        const above = repository.name === leader ? undefined : (organisation?.inForce() ?? undefined);
        return (await governance.read(mirror.repository, commit, above)).bundle;
      });
      readers.set(repository.name, { mirror, governance });
      tagsOf.set(repository.name, new CommitTags(mirror, () => standing(repository.name)?.governance ?? null));
      const mostCommits = config.limits.commits;
      const reviewing = { ledger, records, mirror, governance, evaluator, redactor, cache, grants, mostCommits, live };
      const follower = new RepositoryFollower(repository, {
        past,
        ...reviewing,
        ...(repository.name === leader ? { below } : { organisation }),
        events: {
          governs: () => {
            if (repository.name === leader) for (const { name } of config.repositories) followers.get(name)?.nudge();
          },
          approved: (approved) => deployments.approved(approved),
          decided: ({ environment, outcome, index, violations }) => {
            commentary.info(
              { repository: repository.name, environment, outcome, index, violations: violations.length },
              `decision ${outcome}`,
            );
            tellReports(repository.name, environment);
          },
          removed: (_, environment) => deployments.removed(repository.name, environment),
          governed: (_, environments) => deployments.governed(repository.name, environments),
          unserved: (_, environment, trouble) => deployments.unserved(repository.name, environment.name, trouble),
          fault: (trouble) => commentary.warn({ repository: repository.name, trouble }, trouble.message),
          returned: (action) =>
            commentary.warn({ ...action }, action.refusal ?? `${action.environment} goes back to ${action.to}`),
          stays: (_, environment, trouble) => deployments.stays(repository.name, environment, trouble),
          adviceApproved: () => requests.get(repository.name)?.nudge(),
        },
      });
      followers.set(repository.name, follower);
      opened.push(() => follower.stop());
      if (!repository.forge) continue;
      const follow = new RequestFollower(repository, {
        forge: openForge(repository.forge),
        standing: () => follower.standing,
        approvals: follower.approvals,
        onApprovals: (approvals) => follower.approvalsCame(approvals),
        ...reviewing,
        onFault: (trouble) => commentary.warn({ repository: repository.name, trouble }, trouble.message),
      });
      requests.set(repository.name, follow);
      opened.push(() => follow.stop());
    }
    for (const part of [...followers.values(), ...requests.values(), ...reports.values()]) part.start();
    const hint = (repository: string, claim: PusherClaim | null): void => {
      if (claim && gates.moved(repository, claim.ref)) refs.vouch(repository, claim);
      followers.get(repository)?.hint(claim);
      requests.get(repository)?.nudge();
    };
    const log = new AccessLog(ledger, (thrown) =>
      commentary.error({ trouble: describeTrouble(toCountersignError(thrown)) }, 'a refusal could not be logged'),
    );
    opened.push(() => log.close());
    const approving = { log, approvals: new LoginApprovals(approvingRepositories(followers, requests), records) };
    commentary.info({ version, data: config.data }, 'following');
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
    const notifications: Service['notifications'] = async () => cursors.states(await ledger.size());
    logDuties.start(); // the mirrors are there by now, which anchors are written through
    const ready = () => readiness(dataSource, records, deployments, logDuties);
    const impact = (repository: string, commit: string, since: string): Promise<ImpactReport> =>
      impacts.ask(repository, commit, since);
    const explain = (decision: DecisionRecord, trace: boolean): Promise<readonly Explanation[]> =>
      explainDecision(decision, ledger, compiler, trace);
    const repository = (name: string) => readers.get(name)?.mirror.repository;
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
    const tags: Service['tags'] = async (name, commit) => tagsOf.get(name)?.of(commit) ?? [];
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
    return { config, ledger, records, dataSource, leases, close, hint, approving, ready, explain, blame, orphans, promotion, notifications, holdings: held, controls, tags, impact, checkpoint, targets, admission, audit }; // prettier-ignore
  } catch (thrown) {
    await close().catch((again: unknown) =>
      commentary.error({ trouble: describeTrouble(toCountersignError(again)) }, 'while stopping'),
    );
    throw toCountersignError(thrown);
  }
}

/** An approval may be of what was pushed, of an open request, or of one that was merged meanwhile: both followers hear of it. */
function approvingRepositories(
  followers: ReadonlyMap<string, RepositoryFollower>,
  requests: ReadonlyMap<string, RequestFollower>,
): ReadonlyMap<string, ApprovingRepository> {
  return new Map(
    [...followers].map(([name, follower]) => [
      name,
      {
        approvals: follower.approvals,
        get standing() {
          return follower.standing;
        },
        approvalsCame: (approvals) => {
          follower.approvalsCame(approvals);
          if (approvals.some(({ advice }) => advice !== null)) requests.get(name)?.nudge();
        },
      },
    ]),
  );
}

async function openWitnessing(
  config: WitnessConfig,
  keys: KeyRing,
  ledger: PostgresLedger,
  cosigned: PostgresCosigned,
  commentary: Commentary,
): Promise<() => Promise<EndWork>> {
  const trust = parseTrust(config.policy, config.file, parseVkey(keys.log.vkey));
  const witnesses = [...trust.addresses].map(([key, address]) => new HttpWitness(key, address));
  if (witnesses.length === 0) {
    throw new CountersignError('config-invalid', 'no witness has an address', {
      place: { file: config.file },
      remedy: 'Add it at the end of its line: witness NAME VKEY https://witness.example.org',
    });
  }
  const cosigning = new Cosigning(ledger, trust, witnesses, cosigned);
  await requireWitnessesNotAhead(cosigning);
  return async () => {
    const loop = cosigningLoop(cosigning, ledger, config.everyMilliseconds, (fault) =>
      commentary.warn({ trouble: describeTrouble(fault) }, fault.message),
    );
    loop.start();
    return () => loop.stop();
  };
}

async function readiness(
  dataSource: DataSource,
  records: Records,
  deployments: Deployments,
  logDuties: LogDuties,
): Promise<{ ok: boolean; reasons: string[] }> {
  try {
    await dataSource.query('SELECT 1');
  } catch (thrown) {
    return { ok: false, reasons: [`database: ${toCountersignError(thrown).message}`] };
  }
  const faults = logDuties.faults();
  // Others hold more of this log than its own database: nothing that it says now may be relied on.
  const behind = faults.find(({ code }) => code === 'log-behind');
  if (behind) return { ok: false, reasons: [`log: ${behind.sentence}`] };
  const reasons = [
    ...faults.map(({ message }) => `log: ${message}`),
    ...(await records.find('repository')).flatMap(({ name, trouble }) =>
      trouble ? [about(`repository ${name}`, trouble)] : [],
    ),
    ...deployments.troubles().map(({ target, trouble }) => about(`target ${target}`, trouble)),
  ];
  return { ok: reasons.length === 0, reasons };
}

function about(name: string, trouble: Trouble): string {
  return `${name}: ${trouble.message}`;
}

export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
