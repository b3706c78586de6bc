import { writeFile } from 'node:fs/promises';
import type { RegoCompiler } from '../adapters/opa/compiler.js';
import { regoFiles } from '../policy/folder.js';
import { lineDiff } from '../report/line-diff.js';
import { CountersignError } from '../errors.js';
import { print, printable } from './output.js';

export interface FormatOptions {
  readonly write?: boolean;
  readonly check?: boolean;
  readonly diff?: boolean;
}

/** Shows which files are not as `opa fmt` would have them, or what would change, or changes it. */
export async function format(
  compiler: RegoCompiler,
  path: string,
  { write, check, diff }: FormatOptions,
): Promise<void> {
  if (write && check) {
    throw new CountersignError('usage', '--check writes nothing, and --write does', { remedy: 'Give one of the two' });
  }
  const files = regoFiles(path);
  let different = 0;
  for (const [file, text] of await compiler.format(files)) {
    const before = files.get(file) ?? '';
    if (text === before) continue;
    different++;
    if (write) await writeFile(file, text);
    await print(diff ? lineDiff(before, text, file).split('\n').map(shown).join('\n') : printable(file));
  }
  if (different > 0 && !write) process.exitCode = 1;
}

/** Rego is indented by tabs, which move no cursor back. */
const shown = (line: string): string => line.split('\t').map(printable).join('\t');
