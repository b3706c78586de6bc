import { isMap, isSeq, parseDocument, type YAMLMap } from 'yaml';
import { CountersignError } from '../errors.js';
import type { Environment, Pin } from './environment.js';
import { parseSettings, SETTINGS_FILE } from './environments.js';
import type { Said } from './reconcile-settings.js';

/** What people do to an environment, as its entry in countersign.yaml says it. */
export type Hold =
  | { readonly do: 'pin'; readonly pin: Pin }
  | { readonly do: 'unpin' }
  | { readonly do: 'suspend'; readonly suspend: Said }
  | { readonly do: 'resume' };

/**
 * The text of a countersign.yaml with that done, comments and order kept. An environment that only a template makes gets an entry of its own.
 * Throws `config-invalid` for a text that is none, before or after, and for what would change nothing.
 */
export function editSettings(text: string, environment: Environment, hold: Hold): string {
  parseSettings(text);
  const document = parseDocument(text);
  const list = document.get('environments');
  if (!isSeq(list)) throw unchanged('there are no environments');
  let entry = list.items.find((item): item is YAMLMap => isMap(item) && item.get('name') === environment.name);
  if (!entry) {
    entry = document.createNode(ownEntry(environment));
    list.items.push(entry);
  }
  if (hold.do === 'pin') entry.set('pin', document.createNode(hold.pin));
  else if (hold.do === 'suspend') entry.setIn(['reconcile', 'suspend'], document.createNode(hold.suspend));
  else if (!lift(entry, hold.do === 'resume')) throw unchanged(`${environment.name} is not held`);
  // The file keeps the look it has.
  const edited = document.toString({ lineWidth: 0, flowCollectionPadding: text.includes('{ ') });
  parseSettings(edited);
  return edited;
}

/** True if something held it. */
function lift(entry: YAMLMap, all: boolean): boolean {
  const unpinned = entry.delete('pin');
  const resumed = all && entry.hasIn(['reconcile', 'suspend']) && entry.deleteIn(['reconcile', 'suspend']);
  const settings = entry.get('reconcile');
  if (isMap(settings) && settings.items.length === 0) entry.delete('reconcile');
  return unpinned || resumed;
}

/** What a template made of it, without what is as usual. */
function ownEntry({ name, path, ref, target, namespace, labels, ignore, helm, reconcile }: Environment): object {
  return {
    name,
    path,
    ref,
    ...(target === null ? {} : { target }),
    ...(namespace === null ? {} : { namespace }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(ignore.length === 0 ? {} : { ignore }),
    ...(helm ? { helm } : {}),
    ...(reconcile ? { reconcile } : {}),
  };
}

function unchanged(message: string): CountersignError {
  return new CountersignError('config-invalid', message, { place: { file: SETTINGS_FILE } });
}
