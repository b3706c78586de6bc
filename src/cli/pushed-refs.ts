import { NativeRepository } from '../adapters/git/native.js';
import { runGit } from '../adapters/git/processes.js';
import { quarantineEnvironment, quarantineOf } from '../adapters/git/quarantine.js';
import type { Environment } from '../change/environment.js';
import { ManifestCache } from '../change/manifest-cache.js';
import { CountersignError } from '../errors.js';
import type { Verdict } from '../report/verdict.js';
import { checkCommits, type Checked, checkGovernance, type CheckParts } from '../review/check.js';
import { type Law, readLaw } from '../review/law.js';
import { pusherInput, pusherOfHook } from '../review/pusher.js';
import type { Account } from '../review/records.js';
import { OBJECT_ID, idOrNull } from '../source/object-id.js';
import type { Repository } from '../source/repository.js';
import type { Engine } from './engine.js';
import { lawNotes, lawOptions } from './examination.js';
import type { OrganisationOptions } from './organisation.js';

/** One ref of a push, as git tells a hook of it; null where there is none, before or after. */
export interface PushedRef {
  readonly ref: string;
  readonly old: string | null;
  readonly new: string | null;
}

export interface PushOptions extends OrganisationOptions {
  /** Full name of the ref whose settings, signers and policy count; by default the branch that HEAD names. */
  readonly governance?: string;
  readonly policies?: string;
  readonly profile?: 'baseline' | 'strict' | 'off';
}

export interface PushExamination {
  readonly verdicts: readonly Verdict[];
  /** Why refs are refused that there is nothing to judge of. */
  readonly refusals: readonly string[];
  readonly notes: readonly string[];
}

/** One line a ref (githooks(5), pre-receive). Throws `usage` for anything else. */
export function parsePushedRefs(text: string): PushedRef[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [old = '', now = '', ref = ''] = line.split(' ');
      return pushedRef(ref, old, now);
    });
}

export function pushedRef(ref: string, old: string, now: string): PushedRef {
  if (!ref.startsWith('refs/') || ![old, now].every((id) => OBJECT_ID.test(id))) {
    throw new CountersignError('usage', `${JSON.stringify(`${old} ${now} ${ref}`)} is no ref that git pushes`, {
      remedy: 'Let git itself run it, as a hook of the repository',
    });
  }
  return { ref, old: idOrNull(old), new: idOrNull(now) };
}

/**
 * Judges what a push would do to each environment that its refs deploy to, from the tip that is there now. Settings, signers and
 * policy are those of the governance ref before the push (invariant 2). Throws what keeps it from judging: the caller refuses.
 */
export async function examinePush(
  gitDir: string,
  pushed: readonly PushedRef[],
  options: PushOptions,
  engine: Engine,
  env: Readonly<Record<string, string | undefined>>,
): Promise<PushExamination> {
  const quarantine = quarantineOf(gitDir, env);
  const repository = await NativeRepository.open(gitDir, quarantine && quarantineEnvironment(quarantine));
  try {
    const governanceRef = options.governance ?? (await headOf(gitDir));
    const before = (await repository.refs([governanceRef])).get(governanceRef);
    const first = pushed.find(({ ref }) => ref === governanceRef)?.new ?? null;
    if (before === undefined && first === null) return ungovernedYet(governanceRef, pushed);
    const governedAt = before ?? (await repository.resolve(first!));
    const law = await readLaw(repository, governedAt, await lawOptions(options, engine));
    const push = new Push(
      { repository, law, governedAt, governanceRef, engine, pusher: pusherOfHook(env) },
      options.policies,
    );
    for (const one of pushed) await push.examine(one);
    const start = `nothing governed this repository yet: ${short(governanceRef)} was judged by its own policy`;
    const { verdicts, refusals } = push;
    return {
      verdicts,
      refusals,
      notes: [...(before === undefined ? [start] : []), ...lawNotes(law)],
    };
  } finally {
    await repository.close();
  }
}

interface PushFacts {
  readonly repository: Repository;
  readonly law: Law;
  readonly governedAt: string;
  readonly governanceRef: string;
  readonly engine: Engine;
  /** By the word of the Git server. */
  readonly pusher: Account | null;
}

class Push {
  readonly verdicts: Verdict[] = [];
  readonly refusals: string[] = [];
  readonly #cache: ManifestCache;

  constructor(facts: PushFacts, policies: string | undefined) {
    const { governanceRef, governedAt, engine } = facts;
    const from = `${short(governanceRef)} ${governedAt.slice(0, 7)}`;
    this.#cache = new ManifestCache(undefined, undefined, engine.folders);
    this.#facts = facts;
    this.#lawFrom = policies === undefined ? from : `${policies}, settings from ${from}`;
  }

  readonly #facts: PushFacts;
  readonly #lawFrom: string;

  async examine(pushed: PushedRef): Promise<void> {
    const { repository } = this.#facts;
    const environments = this.#environmentsOf(pushed.ref);
    if (pushed.new === null) {
      const names = environments.map(({ name }) => name).join(', ');
      if (environments.length > 0) this.refusals.push(`${pushed.ref} may not be deleted: ${names} is deployed from it`);
      return;
    }
    if (environments.length === 0) return;
    const head = await repository.resolve(pushed.new);
    const base = pushed.old === null ? null : await repository.resolve(pushed.old);
    const rewritten = base !== null && !(await repository.isAncestor(base, head));
    const { law, pusher } = this.#facts;
    const push = {
      ref: pushed.ref,
      old: pushed.old,
      new: pushed.new,
      forced: rewritten,
      ...pusherInput(pusher, 'hook', law.signers.identities),
    };
    const problems = rewritten ? [rewrittenRef(pushed.ref, base, head)] : [];
    const parts = { ...this.#parts(), push, problems };
    for (const environment of environments)
      this.#add(await checkCommits(repository, environment, { base, head }, parts));
    const { governanceRef: governs, governedAt: at, engine } = this.#facts;
    if (pushed.ref !== governs) return;
    const governance = { ref: governs, at, compile: engine.compile };
    const checked = await checkGovernance(repository, { base, head }, governance, parts);
    if (checked) this.#add(checked);
  }

  #environmentsOf(ref: string): readonly Environment[] {
    const { law, governanceRef } = this.#facts;
    if (law.environments.length > 0) return law.environments.filter((environment) => environment.ref === ref);
    // As `check` does it where no settings are.
    const everything = { name: 'all files', path: '', ref, target: null, namespace: 'default', labels: {}, ignore: [] };
    return ref === governanceRef ? [everything] : [];
  }

  #add({ change, decision }: Checked): void {
    const { rules } = this.#facts.law.bundle;
    const name = short(change.environment.ref);
    this.verdicts.push({ change, decision, rules, base: name, head: name, lawFrom: this.#lawFrom });
  }

  #parts(): CheckParts {
    const { law, engine, repository } = this.#facts;
    const { evaluator, redactor } = engine;
    const name = /([^/]+?)(?:\.git)?$/.exec(repository.path.replace(/\/\.git$/, ''))?.[1] ?? '';
    return { law, evaluator, redactor, cache: this.#cache, repository: { name, url: '' }, time: new Date() };
  }
}

async function headOf(gitDir: string): Promise<string> {
  const { code, stdout } = await runGit(['--git-dir', gitDir, 'symbolic-ref', '--quiet', 'HEAD']);
  if (code === 0) return stdout.toString('utf8').trim();
  throw new CountersignError('usage', `HEAD of ${gitDir} names no branch, so nothing says which one governs`, {
    remedy: 'Name it with --governance refs/heads/main in the hook',
  });
}

function ungovernedYet(governanceRef: string, pushed: readonly PushedRef[]): PushExamination {
  const refusal = `${pushed[0]?.ref} cannot be judged before there is a ${governanceRef}: push that first`;
  return { verdicts: [], refusals: pushed.some((one) => one.new !== null) ? [refusal] : [], notes: [] };
}

function rewrittenRef(ref: string, old: string, now: string): CountersignError {
  const [was, is] = [old, now].map((id) => id.slice(0, 7));
  return new CountersignError('history-rewritten', `${is} does not descend from ${was}, which ${ref} holds now`, {
    remedy: `Put your commits on top of it (git fetch && git rebase ${was}) and push without force`,
  });
}

const short = (ref: string): string => ref.replace(/^refs\/(?:heads|tags)\//, '');
