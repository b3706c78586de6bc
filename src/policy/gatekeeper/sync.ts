import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import { type Fault, Faulty, type PolicyDocument } from './document.js';
import type { GroupVersionKind } from './expansion.js';
import { at } from './template.js';

/** What policy looks at of a live cluster: which kinds, and which namespaces it leaves out. Globs at either end. */
export interface SyncSettings {
  readonly kinds: readonly GroupVersionKind[];
  readonly excludedNamespaces: readonly string[];
}

/** What Gatekeeper's Config and SyncSets say. */
export interface ReadSync {
  readonly sync: SyncSettings | undefined;
  /** Namespaces that no constraint is about: those that its webhook leaves alone. */
  readonly exempt: readonly string[];
}

const PROCESSES = ['audit', 'webhook', 'sync', 'mutation-webhook', '*'];

/**
 * Reads `Config` (config.gatekeeper.sh/v1alpha1) and `SyncSet` (syncset.gatekeeper.sh/v1alpha1): the kinds of both are one list. Throws
 * Faulty that names every fault; a field with no meaning here is none, for what is imported from a cluster has them.
 */
export function readSync(documents: readonly PolicyDocument[]): ReadSync {
  const faults: Fault[] = [];
  const kinds = new Map<string, GroupVersionKind>();
  const excluded = { sync: new Set<string>(), webhook: new Set<string>() };
  for (const document of documents) {
    const say = (path: readonly PropertyKey[], message: string, remedy: string): void =>
      void faults.push({ place: document.placeOf(path), message, remedy });
    const [wanted, path] = document.kind === 'Config' ? ['Config', ['spec', 'sync', 'syncOnly']] : ['SyncSet', ['spec', 'gvks']]; // prettier-ignore
    if (document.kind !== wanted || document.version !== 'v1alpha1') {
      say(['kind'], `${document.group} has no ${document.kind} of ${document.version}`, 'Write SyncSet, or Config, of v1alpha1'); // prettier-ignore
      continue;
    }
    listOf(at(document.value, path), path, say).forEach((entry, i) => {
      const { group = '', version, kind, ...more } = isJsonObject(entry) ? entry : ({} as JsonObject);
      const unknown = Object.keys(more)[0];
      if (
        typeof group !== 'string' ||
        typeof version !== 'string' ||
        version === '' ||
        typeof kind !== 'string' ||
        kind === ''
      ) {
        // prettier-ignore
        say([...path, i], 'a kind that is synced needs a version and a kind, and its group', 'Write {group: apps, version: v1, kind: Deployment}'); // prettier-ignore
      } else if (unknown !== undefined)
        say([...path, i, unknown], `a kind that is synced has no field ${unknown}`, 'Remove it'); // prettier-ignore
      else kinds.set(`${group}/${version}/${kind}`, { group, version, kind });
    });
    if (document.kind !== 'Config') continue;
    const match = ['spec', 'match'];
    listOf(at(document.value, match), match, say).forEach((entry, i) => {
      const { processes = [], excludedNamespaces = [] } = isJsonObject(entry) ? entry : {};
      const ours = textsOf(processes, [...match, i, 'processes'], say);
      for (const [p, name] of ours.entries()) {
        if (!PROCESSES.includes(name)) say([...match, i, 'processes', p], `there is no process ${name}`, `Name some of ${PROCESSES.join(', ')}`); // prettier-ignore
      }
      for (const namespace of textsOf(excludedNamespaces, [...match, i, 'excludedNamespaces'], say)) {
        for (const process of ['sync', 'webhook'] as const) {
          if (ours.includes(process) || ours.includes('*')) excluded[process].add(namespace);
        }
      }
    });
  }
  if (faults.length > 0) throw new Faulty(faults);
  const sorted = [...kinds].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, kind]) => kind);
  return {
    sync: sorted.length > 0 ? { kinds: sorted, excludedNamespaces: [...excluded.sync].toSorted() } : undefined,
    exempt: [...excluded.webhook].toSorted(),
  };
}

type Say = (path: readonly PropertyKey[], message: string, remedy: string) => void;

function listOf(value: Json | undefined, path: readonly PropertyKey[], say: Say): readonly Json[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value as readonly Json[];
  say(path, `${path.join('.')} is no list`, 'Write a list');
  return [];
}

function textsOf(value: Json, path: readonly PropertyKey[], say: Say): readonly string[] {
  const list = listOf(value, path, say);
  if (list.every((one) => typeof one === 'string')) return list;
  say(path, `${path.join('.')} is no list of texts`, 'Write each as a text');
  return [];
}

/** As Gatekeeper's wildcards: an asterisk at either end. */
export function fitsGlob(pattern: string, text: string): boolean {
  const [start, end] = [pattern.startsWith('*'), pattern.endsWith('*')];
  if (start && end) return text.includes(pattern.replace(/^\*|\*$/g, ''));
  if (start) return text.endsWith(pattern.slice(1));
  return end ? text.startsWith(pattern.slice(0, -1)) : pattern === text;
}
