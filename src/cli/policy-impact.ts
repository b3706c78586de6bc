import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { PostgresPast } from '../adapters/postgres/past-decisions.js';
import type { PolicyBundle } from '../policy/bundle.js';
import type { ImpactState } from '../review/impact.js';
import type { LiveImpact } from '../review/impact-live.js';
import type { Cluster } from '../reconcile/cluster.js';
import type { LiveEnvironments } from '../review/judge-live.js';
import { jsonLine, print, printable } from './output.js';
import { Progress } from './progress.js';

export interface ImpactOptions {
  readonly policies: string;
  readonly since: string;
  readonly data: string;
  readonly database?: string;
  readonly repository?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly target?: string;
  readonly again?: boolean;
  readonly output: 'text' | 'json';
}

/** Milliseconds between two savings: what a kill may cost. */
const SAVING = 1000;

/** What another policy would do to what was decided, and to what runs. Goes on where it was stopped. */
export async function impact(options: ImpactOptions): Promise<void> {
  const [{ openPast }, { analyseImpact, newImpact }, { liveImpact, NOTHING_LIVE }, { ImpactFiles }, { startEngine }, { cacheFolder }, { CountersignError }] = await Promise.all([import('../adapters/postgres/past-decisions.js'), import('../review/impact.js'), import('../review/impact-live.js'), import('../adapters/folder/impact-files.js'), import('./engine.js'), import('../adapters/folder/cache-folder.js'), import('../errors.js')]); // prettier-ignore
  const since = instant(options.since);
  if (since === null) {
    throw new CountersignError('usage', `--since ${options.since} is no day and no instant`, {
      remedy: 'Write it as 2026-07-01 or 2026-07-01T09:30:00Z',
    });
  }
  const past = await openPast(options.data, options.database);
  const engine = await startEngine();
  let cluster: Cluster | undefined;
  try {
    cluster = await openListed(options);
    const running = cluster ? await listing(past, cluster, options) : past;
    const known = await past.repositories();
    const repositories = options.repository === undefined ? known : known.filter((name) => name === options.repository);
    if (repositories.length === 0) {
      throw new CountersignError(
        'not-found',
        `nothing was decided about ${options.repository ?? 'any repository'} there`,
        {
          remedy: known.length > 0 ? `There are ${known.join(', ')}` : 'Look at --data',
        },
      );
    }
    for (const repository of repositories) {
      const bundle = await proposed(past, repository, options.policies, engine.compile);
      const states = new ImpactFiles(cacheFolder(), options.data);
      const start = newImpact(bundle, repository, since);
      let state = (options.again ? null : await states.load(start)) ?? start;
      const resumed = state.tally.decisions;
      let progress: Progress | undefined;
      let saved = performance.now();
      for await (const next of analyseImpact(past, bundle, engine.evaluator, state)) {
        progress ??= new Progress('decisions', next.total);
        progress.advance(next.tally.decisions - state.tally.decisions);
        state = next;
        if (performance.now() - saved < SAVING) continue;
        await states.save(state);
        saved = performance.now();
      }
      progress?.end();
      await states.save(state);
      let live = NOTHING_LIVE;
      for await (const one of running.all(repository)) {
        live = await liveImpact(live, one, bundle, engine.evaluator, await running.teams(one));
      }
      if (options.output === 'json') await print(jsonLine({ ...state, resumed, live }));
      else await tell(state, resumed, live);
    }
  } finally {
    await Promise.all([past.close(), engine.close(), cluster?.close()]);
  }
}

async function openListed({ kubeconfig, context }: ImpactOptions): Promise<Cluster | undefined> {
  if (kubeconfig === undefined) return undefined;
  const { openCluster } = await import('../adapters/kubernetes/cluster.js');
  return openCluster({
    name: kubeconfig,
    kubeconfig: resolve(kubeconfig),
    ...(context === undefined ? {} : { context }),
  });
}

async function listing(past: PostgresPast, cluster: Cluster, { target }: ImpactOptions): Promise<LiveEnvironments> {
  const [{ ListedLive }, { Redactor }, { CountersignError }] = await Promise.all([import('../reconcile/listed-live.js'), import('../cluster/secret.js'), import('../errors.js')]); // prettier-ignore
  const known = await past.targets();
  if (target === undefined ? known.length > 1 : !known.includes(target)) {
    throw new CountersignError('usage', target === undefined ? '--kubeconfig is one cluster, and there are several targets' : `nothing runs in a target ${target}`, { remedy: `Say which it is: --target ${known.join(' or ')}` }); // prettier-ignore
  }
  // Secrets stay out of what rules see (invariant 10); under a key that nobody keeps, since nothing is compared.
  const redactor = new Redactor(randomBytes(32), 'impact');
  return new ListedLive(past, (name) => (name === (target ?? known[0]) ? cluster : undefined), redactor);
}

/** The folder's rules, under the starter rules and settings that the repository was judged by last. */
async function proposed(
  past: Awaited<ReturnType<typeof import('../adapters/postgres/past-decisions.js').openPast>>,
  repository: string,
  folder: string,
  compile: (sources: import('../policy/bundle.js').PolicySources) => Promise<PolicyBundle>,
): Promise<PolicyBundle> {
  const { policyFolder } = await import('../policy/folder.js');
  const newest = await past.newest(repository);
  const settings = newest === null ? {} : await past.starterAt(newest);
  return compile(policyFolder(folder, settings));
}

function instant(text: string): string | null {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?Z)?$/.test(text)) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

async function tell(state: ImpactState, resumed: number, live: LiveImpact): Promise<void> {
  const { tally, repository, since, bundleDigest } = state;
  const outcomes = Object.entries(tally.outcomes).map(([change, count]) => `${change} ${count}`);
  const lines = [
    `${repository}   ${tally.decisions} decisions since ${since.slice(0, 10)}, ${tally.changed} would differ${outcomes.length > 0 ? ` (${outcomes.join(', ')})` : ''}   policy ${bundleDigest.slice(0, 4)}…`,
    ...(resumed > 0 ? [`  went on after ${resumed} that were looked at before; --again begins anew`] : []),
    ...(tally.skipped > 0 ? [`  ${tally.skipped} could not be judged again`] : []),
    ...section('by rule', Object.entries(tally.byRule).map(([rule, { newly, noLonger }]) => `${rule.padEnd(28)} ${newly} newly, ${noLonger} no longer`)), // prettier-ignore
    ...section(
      'by team',
      Object.entries(tally.byTeam).map(([team, count]) => `${team.padEnd(28)} ${count}`),
    ),
    ...section('by environment', Object.entries(tally.byEnvironment).map(([name, count]) => `${name.padEnd(28)} ${count}`)), // prettier-ignore
    ...section(
      'for example',
      tally.examples.slice(0, 10).map(({ time, environment, before, after, rule, message, source, decision }) => `${time.slice(0, 10)}  ${environment}  ${before} → ${after}  ${rule}  ${source ? `${source.path}:${source.line}  ` : ''}${message}   decision ${decision}`), // prettier-ignore
    ),
    `  live: ${live.objects} objects in ${live.environments} environments, ${live.newly} findings newly, ${live.noLonger} no longer${listedWords(live)}`,
    ...live.unlisted.map(({ environment, message }) => `    ${environment} as last recorded: ${message}`),
    ...section(
      'live, by rule',
      Object.entries(live.byRule).map(([rule, count]) => `${rule.padEnd(28)} ${count}`),
    ),
    ...section(
      'live, by team',
      Object.entries(live.byTeam).map(([team, count]) => `${team.padEnd(28)} ${count}`),
    ),
    ...section(
      'live, by environment',
      Object.entries(live.byEnvironment).map(([name, count]) => `${name.padEnd(28)} ${count}`),
    ),
    ...section('live, for example', live.examples.slice(0, 10).map(({ environment, rule, message, object, source }) => `${environment}  ${object.kind} ${object.namespace}/${object.name}  ${rule}  ${source.path}:${source.line}  ${message}`)), // prettier-ignore
  ];
  for (const line of lines) await print(printable(line));
}

function listedWords({ listed, environments }: LiveImpact): string {
  if (environments === 0) return '';
  return listed === environments ? '   (listed just now)' : listed > 0 ? `   (${listed} listed just now, the others as last recorded)` : '   (as last recorded)'; // prettier-ignore
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`  ${title}`, ...lines.map((line) => `    ${line}`)];
}
