import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { RegoCompiler } from '../adapters/opa/compiler.js';
import { workTreeOf } from '../adapters/git/work-tree.js';
import { parseSettings, SETTINGS_FILE } from '../change/environments.js';
import { CountersignError } from '../errors.js';
import type { PolicySources } from '../policy/bundle.js';
import { policyFolder } from '../policy/folder.js';
import { newRule, type NewRule } from '../policy/new-rule.js';
import { policySources, starterFiles } from '../policy/sources.js';
import { print, printable } from './output.js';

export interface NewOptions extends Omit<NewRule, 'name' | 'controls'> {
  readonly control: readonly string[];
  readonly policies?: string;
}

/** Writes a rule and its test where the repository keeps such, if both would be good there. */
export async function writeNewRule(compiler: RegoCompiler, name: string, options: NewOptions): Promise<void> {
  const made = newRule({ ...options, name, controls: options.control });
  const folder = options.policies ?? (await policiesFolder());
  const files = [made.rule, made.test].map(({ path, text }) => ({ path: join(folder, path), text }));
  for (const { path } of files) {
    if (!existsSync(path)) continue;
    throw new CountersignError('usage', 'the file is there already', {
      place: { file: path },
      remedy: 'Give the rule another name, or write it into that file yourself',
    });
  }
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  await refuseWhatClashes(compiler, folder, name, texts);
  const results = await compiler.test(policySources(texts, { profile: 'off' }, folder));
  const failed = results.find(({ outcome }) => outcome !== 'passed');
  if (failed) throw new CountersignError('internal', `the new rule's own test ${failed.name} did not pass`);
  for (const { path, text } of files) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text, { flag: 'wx' });
    await print(printable(`wrote ${path}`));
  }
  await print(printable(`${results.length} tests pass; write what the rule is about, then: countersign policy test ${folder} --strict`)); // prettier-ignore
}

/** `policies.path` of the repository around, from where the user stands; else `policies`. */
async function policiesFolder(): Promise<string> {
  const root = workTreeOf('.')?.root;
  if (root === undefined) return 'policies';
  const file = join(root, SETTINGS_FILE);
  const path = existsSync(file) ? parseSettings(await readFile(file, 'utf8')).policies.path : 'policies';
  return relative('', join(root, path)) || '.';
}

/** A name that another rule has, or a package. What is wrong with other files is theirs, and no reason to write nothing. */
async function refuseWhatClashes(
  compiler: RegoCompiler,
  folder: string,
  name: string,
  texts: ReadonlyMap<string, string>,
): Promise<void> {
  let there: PolicySources | undefined;
  try {
    if (existsSync(folder)) there = policyFolder(folder, { profile: 'off' });
  } catch {
    // said by policy check
  }
  const own = packageOf([...texts.values()][0]);
  const id = new RegExp(`^# +id: *["']?${name.replaceAll('.', '\\.')}["']? *$`, 'm');
  for (const [file, text] of new Map([...starterFiles(), ...(there?.files ?? [])])) {
    const what = packageOf(text) === own ? `the package ${own}` : id.test(text) ? `a rule ${name}` : undefined;
    if (what === undefined) continue;
    throw new CountersignError('usage', `there is ${what} already`, {
      place: { file },
      remedy: 'Give the rule another name',
    });
  }
  const sources = there ?? policySources(new Map(), { profile: 'off' }, folder);
  try {
    await compiler.check({ ...sources, files: new Map([...sources.files, ...texts]) });
  } catch (thrown) {
    if (thrown instanceof CountersignError && texts.has(thrown.place?.file ?? '')) throw thrown;
  }
}

const packageOf = (text: string): string => /^package\s+(\S+)/m.exec(text)?.[1] ?? '';
