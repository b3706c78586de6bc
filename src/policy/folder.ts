import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '../errors.js';
import type { PolicySources } from './bundle.js';
import { mayHoldGatekeeper } from './gatekeeper/gatekeeper.js';
import { policySources, readStarterFolder, STARTER_FOLDER, type StarterSettings } from './sources.js';

const MAX_FILES = 5000;
const MAX_BYTES = 5 * 1024 * 1024;

/**
 * Policies from a folder (or one file) of this machine, for those who try them out; the service reads them from Git. Paths are
 * as given, so that places can be clicked on. Throws `usage` if it is not there or is too large, else as `policySources`.
 */
export function policyFolder(path: string, starter: StarterSettings = {}): PolicySources {
  const folder = isFolder(path);
  // Our own rules, in a clone: adding the starters would be adding them twice.
  if (folder && realpathSync(path) === realpathSync(fileURLToPath(STARTER_FOLDER))) {
    const choice = { profile: 'strict' as const, off: starter.off ?? [] };
    return { files: readStarterFolder(), data: {}, starter: choice, strict: starter.strict ?? false };
  }
  return policySources(readFiles(path, folder), starter, relative('', path));
}

/**
 * The same without Gatekeeper's templates and constraints, and the texts of files that hold some: a folder of tests has many that
 * are in force nowhere.
 */
export function testFolder(path: string): {
  readonly sources: PolicySources;
  readonly yaml: ReadonlyMap<string, string>;
} {
  const files = readFiles(path, isFolder(path));
  const yaml = new Map([...files].filter(([file]) => isYaml(file)));
  if (yaml.size === 0) return { sources: policyFolder(path, { profile: 'off' }), yaml };
  const others = new Map([...files].filter(([file]) => !isYaml(file)));
  return { sources: policySources(others, { profile: 'off' }, relative('', path)), yaml };
}

const isYaml = (file: string): boolean => mayHoldGatekeeper(basename(file));

/** The Rego of a folder or file, by path. */
export function regoFiles(path: string): ReadonlyMap<string, string> {
  return new Map([...readFiles(path, isFolder(path))].filter(([file]) => file.endsWith('.rego')));
}

function readFiles(path: string, folder: boolean): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const name of folder ? filesBelow(path) : ['']) {
    const file = join(path, name);
    if (!/\.(rego|ya?ml|json)$/.test(basename(file))) continue;
    const counts = /\.rego$|^data\.(ya?ml|json)$/.test(basename(file));
    if (counts && statSync(file).size > MAX_BYTES) throw tooLarge(file);
    const text = readFileSync(file, 'utf8');
    // Other YAML counts only where it is Gatekeeper's.
    if (!counts && !text.includes('gatekeeper.sh/')) continue;
    if (files.size >= MAX_FILES) throw tooLarge(file);
    files.set(file, text);
  }
  return files;
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw new CountersignError('usage', `there are no policies at ${path}`, {
      remedy: 'Give a folder of .rego files, or one file',
      cause,
    });
  }
}

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(path, join(entry.parentPath, entry.name)))
    .toSorted();
}

function tooLarge(file: string): CountersignError {
  return new CountersignError(
    'usage',
    `more than ${MAX_FILES} policy files, or one above ${MAX_BYTES / 1024 / 1024} MiB`,
    {
      place: { file },
      remedy: 'Give the folder that holds the policies and nothing else',
    },
  );
}
