import { basename, resolve } from 'node:path';
import { FolderTree } from '../adapters/folder/folder-tree.js';
import { openRepository } from '../adapters/git/open.js';
import { changedFiles, type WorkTree, workTreeOf } from '../adapters/git/work-tree.js';
import { type Environment, GOVERNANCE } from '../change/environment.js';
import type { EnvironmentAt, Promotion } from '../change/promotion.js';
import { environmentNamed } from '../change/environments.js';
import { ManifestCache } from '../change/manifest-cache.js';
import { CountersignError, formatPlace, toCountersignError } from '../errors.js';
import { explain } from '../policy/explain.js';
import { policyFolder } from '../policy/folder.js';
import type { PolicyInput } from '../policy/input.js';
import type { Verdict } from '../report/verdict.js';
import { checkCommits, checkFiles, type Checked, checkGovernance, type CheckParts, FILES } from '../review/check.js';
import { forkPoint, type Law, readLaw } from '../review/law.js';
import { checkPromotion } from '../review/promotions.js';
import { isUnder } from '../source/path.js';
import type { Repository } from '../source/repository.js';
import { organisationAt, type OrganisationOptions } from './organisation.js';
import { type Engine, startEngine } from './engine.js';

export interface ExamineOptions extends OrganisationOptions {
  readonly base?: string;
  readonly head?: string;
  readonly env: readonly string[];
  readonly policies?: string;
  readonly profile?: 'baseline' | 'strict' | 'off';
  readonly worktree?: boolean;
  /** Say of each finding what made it true. */
  readonly explain?: boolean;
  /** Of what is explained, every step of the interpreter, too. */
  readonly trace?: boolean;
}

export interface Examination {
  readonly verdicts: Verdict[];
  readonly notes: string[];
}

/** Judges what the user points at: commits of a repository, the files of its work tree, or files outside of Git. */
export async function examine(path: string, options: ExamineOptions): Promise<Examination> {
  const engine = await startEngine();
  try {
    const repository = await repositoryAt(path);
    if (!repository) return await examineFolder(path, options, engine);
    try {
      const place = workTreeOf(path);
      return options.worktree
        ? await examineWorkTree(repository, place, options, engine)
        : await examineCommits(repository, place, options, engine);
    } finally {
      await repository.close();
    }
  } finally {
    await engine.close();
  }
}

async function examineCommits(
  repository: Repository,
  place: WorkTree | null,
  options: ExamineOptions,
  engine: Engine,
): Promise<Examination> {
  const notes: string[] = [];
  const head = await repository.resolve(options.head ?? 'HEAD');
  const tip = options.base === undefined ? null : await repository.resolve(options.base);
  if (place && options.head === undefined) notes.push(...(await uncommitted(place)));
  const base = tip === null ? null : await forkPoint(repository, tip, head);
  if (base !== tip)
    notes.push(`${options.base} has moved on since; judged is what the commits after ${base?.slice(0, 7)} do`);
  const headName = options.head ?? (await branchAt(repository, head)) ?? 'HEAD';
  const law = await readLaw(repository, tip ?? head, await lawOptions(options, engine));
  const lawFrom = lawName(options, tip === null ? headName : options.base!, tip ?? head);
  const parts = checkParts(law, engine, basename(place?.root ?? repository.path));
  const verdicts: Verdict[] = [];
  for (const environment of chosen(law, options, place?.prefix ?? '', headName)) {
    const checked = await checkCommits(repository, environment, { base, head }, parts);
    verdicts.push(await verdict(checked, law, options.base ?? null, headName, lawFrom, options, engine));
  }
  if (base !== null && asksForGovernance(law, options, place?.prefix ?? '')) {
    const governed = { ref: await governanceRef(repository, options.base!), at: base, compile: engine.compile };
    const checked = await checkGovernance(repository, { base, head }, governed, parts);
    if (checked) verdicts.push(await verdict(checked, law, options.base!, headName, lawFrom, options, engine));
    else if (options.env.includes(GOVERNANCE)) notes.push('governance is not changed');
  }
  return { verdicts, notes: [...notes, ...lawNotes(law)] };
}

/** Where nothing governs, nothing can be wrong with it; whoever asks about one folder or environment wants to know about that. */
function asksForGovernance(law: Law, { env }: ExamineOptions, prefix: string): boolean {
  if (env.length > 0) return env.includes(GOVERNANCE);
  return law.environments.length > 0 && prefix === '';
}

/** The branch that the base is of: approvals of a change of governance name it. */
async function governanceRef(repository: Repository, base: string): Promise<string> {
  const ref = `refs/heads/${base.replace(/^(?:refs\/(?:heads|remotes)\/)?(?:origin\/)?/, '')}`;
  return (await repository.refs([ref])).has(ref) ? ref : 'refs/heads/main';
}

async function examineWorkTree(
  repository: Repository,
  place: WorkTree | null,
  options: ExamineOptions,
  engine: Engine,
): Promise<Examination> {
  if (!place) {
    throw new CountersignError('usage', `${repository.path} is a bare repository and has no work tree`, {
      remedy: 'Leave --worktree out, or run it in a clone',
    });
  }
  const files = FolderTree.open(place.root);
  const base = options.base === undefined ? null : await repository.resolve(options.base);
  // Without a base there is nothing older to be governed by.
  const law = await readLaw(base === null ? files : repository, base ?? FILES, await lawOptions(options, engine));
  const lawFrom = lawName(options, base === null ? 'these files' : options.base!, base ?? FILES);
  const before = base === null ? null : { reader: repository, commit: base };
  const parts = checkParts(law, engine, basename(place.root));
  const verdicts: Verdict[] = [];
  for (const environment of chosen(law, options, place.prefix, undefined)) {
    const checked = await checkFiles(files, environment, before, parts);
    verdicts.push(await verdict(checked, law, options.base ?? null, 'files', lawFrom, options, engine));
  }
  return { verdicts, notes: [...withoutCommits(law), ...lawNotes(law)] };
}

async function examineFolder(path: string, options: ExamineOptions, engine: Engine): Promise<Examination> {
  for (const option of ['base', 'head'] as const) {
    if (options[option] === undefined) continue;
    throw new CountersignError('usage', `--${option} needs a repository, and ${path} is in none`, {
      remedy: `Leave --${option} out, or run it in a repository`,
    });
  }
  const files = FolderTree.open(path);
  const law = await readLaw(files, FILES, await lawOptions(options, engine));
  const name = path === '.' ? basename(resolve(path)) : path.replace(/(?<=.)\/+$/, '');
  const parts = checkParts(law, engine, name);
  const verdicts: Verdict[] = [];
  for (const environment of chosen(law, options, '', undefined, name)) {
    const checked = await checkFiles(files, environment, null, parts);
    verdicts.push(await verdict(checked, law, null, 'files', lawName(options, name, FILES), options, engine));
  }
  return {
    verdicts,
    notes: [`${name} is outside of Git`, ...withoutCommits(law), ...lawNotes(law)],
  };
}

/** What a promotion does to the environment that it goes to, by the law at a commit. */
export async function examinePromotion(
  repository: Repository,
  engine: Engine,
  { commit: lawCommit, organisation }: { readonly commit: string; readonly organisation: OrganisationOptions },
  find: (environments: readonly Environment[]) => Promise<{ from: EnvironmentAt; to: EnvironmentAt }>,
): Promise<{ from: EnvironmentAt; to: EnvironmentAt; promoted: Promotion; verdict: Verdict; notes: string[] }> {
  const law = await readLaw(repository, lawCommit, {
    compile: engine.compile,
    organisation: await organisationAt(organisation),
  });
  const { from, to } = await find(law.environments);
  const parts = checkParts(law, engine, basename(repository.path));
  const { promoted, checked } = await checkPromotion(repository, from, to, parts);
  const head = from.environment.name;
  const lawFrom = lawCommit.slice(0, 7);
  const judged = await verdict(checked, law, to.environment.name, head, lawFrom, { env: [] }, engine);
  return { from, to, promoted, verdict: judged, notes: overruled(law) };
}

/** null where there is no repository but something else to look at. */
async function repositoryAt(path: string): Promise<Repository | null> {
  try {
    return await openRepository(workTreeRoot(path) ?? path);
  } catch (thrown) {
    const error = toCountersignError(thrown);
    if (error.code !== 'repository-missing') throw error;
    FolderTree.open(path); // says what is wrong if there is nothing at all
    return null;
  }
}

function workTreeRoot(path: string): string | undefined {
  try {
    return workTreeOf(path)?.root;
  } catch (thrown) {
    const cause = thrown as NodeJS.ErrnoException;
    if (cause.code === 'ENOENT') return undefined;
    throw toCountersignError(thrown);
  }
}

export async function lawOptions(
  options: Pick<ExamineOptions, 'policies' | 'profile' | 'organisation' | 'organisationRef'>,
  engine: Engine,
): Promise<Parameters<typeof readLaw>[2]> {
  const { policies, profile } = options;
  return {
    compile: engine.compile,
    organisation: await organisationAt(options),
    ...(profile ? { profile } : {}),
    ...(policies === undefined ? {} : { policies: (starter) => policyFolder(policies, starter) }),
  };
}

function checkParts(law: Law, { evaluator, redactor, folders }: Engine, name: string): CheckParts {
  const cache = new ManifestCache(undefined, undefined, folders);
  return { law, evaluator, redactor, cache, repository: { name, url: '' }, time: new Date() };
}

/** Those asked for; else those of the folder pointed at; else those of the branch; else, without settings, the folder itself. */
function chosen(
  law: Law,
  options: ExamineOptions,
  prefix: string,
  branch: string | undefined,
  name?: string,
): readonly Environment[] {
  if (options.env.length > 0) {
    return options.env.filter((env) => env !== GOVERNANCE).map((env) => environmentNamed(law.settings, env));
  }
  const inside = law.environments.filter(({ path }) => isUnder(path, prefix));
  const around = law.environments.filter(({ path }) => inside.length === 0 && isUnder(prefix, path));
  const here = [...inside, ...around];
  if (here.length === 0) {
    return [
      {
        name: name ?? (prefix || 'all files'),
        path: prefix,
        ref: 'HEAD',
        target: null,
        namespace: 'default',
        labels: {},
        ignore: [],
      },
    ];
  }
  // An environment by branch is judged with its own branch; a branch of no environment is on its way to some of them.
  const refs = [branch, options.base].map((short) => `refs/heads/${short}`);
  const own = here.filter(({ ref }) => refs.includes(ref));
  return own.length > 0 ? own : here;
}

async function verdict(
  { change, decision, input }: Checked,
  law: Law,
  base: string | null,
  head: string,
  lawFrom: string,
  options: ExamineOptions,
  { evaluator, explainer }: Engine,
): Promise<Verdict> {
  const { bundle } = law;
  const seen = { change, decision, rules: bundle.rules, base, head, lawFrom };
  if (!(options.explain || options.trace) || decision.error || !bundle.sources) return seen;
  const results = await evaluator.evaluate(bundle, input);
  const { violations, required, warnings, excepted } = decision;
  const explanations = await explain(explainer, {
    bundle,
    sources: bundle.sources,
    input: JSON.parse(input) as PolicyInput,
    results,
    violations: [...violations, ...required, ...warnings, ...excepted],
    trace: options.trace ?? false,
  });
  return { ...seen, explanations };
}

function lawName({ policies }: ExamineOptions, name: string, commit: string): string {
  const from = commit === FILES || commit.startsWith(name) ? name : `${name} ${commit.slice(0, 7)}`;
  return policies === undefined ? from : `${policies}, settings from ${from}`;
}

async function uncommitted({ root }: WorkTree): Promise<string[]> {
  const { count, first } = await changedFiles(root);
  if (count === 0) return [];
  const what = count === 1 ? `${first} is` : `${first} and ${count - 1} more are`;
  return [`${what} not committed and not judged; --worktree judges the files as they are`];
}

function withoutCommits(law: Law): string[] {
  const rules = [...new Set(law.bundle.rules.filter(({ scope }) => scope === 'change').map(({ id }) => id))];
  return rules.length === 0 ? [] : [`there are no commits, so these rules had none to judge: ${rules.join(', ')}`];
}

/** What of the law itself may be other than its author thinks. */
export function lawNotes(law: Law): string[] {
  const notes: string[] = [];
  if (law.environments.length === 0) {
    notes.push(
      'no environment is defined in a countersign.yaml: all files were judged, objects without namespace as if in "default"',
    );
  }
  if (law.bundle.rules.length === 0) {
    notes.push(
      'no rule takes part in decisions, so whatever can be read is allowed; countersign policy check says which rules would',
    );
  }
  return [...notes, ...overruled(law)];
}

/** What the settings say in vain. */
function overruled(law: Law): string[] {
  return law.overruled.map(({ message, place }) => `${place ? `${formatPlace(place)}  ` : ''}${message}`);
}

async function branchAt(repository: Repository, head: string): Promise<string | undefined> {
  const branches = [...(await repository.refs(['refs/heads/']))].filter(([, id]) => id === head);
  return branches.length === 1 ? branches[0][0].slice('refs/heads/'.length) : undefined;
}
