import { posix } from 'node:path';
import { CountersignError, type Place } from '../errors.js';

const OWN_FILES = ['kustomization.yaml', 'kustomization.yml', 'Kustomization', 'Chart.yaml'];
/** What Kustomize and Helm name of the file that they could not follow. */
const NAMED = /["'`]([^\s"'`]{2,200})["'`]|dependency (\S+) is|\((\w{2,})\)/g;

/**
 * A fault of which the renderer knows the folder or the file, placed at the line where what the message names is written, if it is. The
 * file of a folder is the one that it is rendered by.
 */
export function atItsLine(error: CountersignError, dir: string, files: ReadonlyMap<string, Buffer>): CountersignError {
  const { code, message, place, remedy, retry, cause } = error;
  const known = place && place.file !== (dir || '.') ? place.file : undefined;
  const file = known ?? OWN_FILES.map((name) => posix.join(dir, name)).find((path) => files.has(path));
  const bytes = file === undefined ? undefined : files.get(file);
  if (!bytes || place?.line !== undefined) return error;
  return new CountersignError(code, message, { place: placeIn(file!, bytes, message), remedy, retry, cause });
}

function placeIn(file: string, bytes: Buffer, message: string): Place {
  const lines = bytes.toString().split('\n');
  for (const [, ...names] of message.matchAll(NAMED)) {
    const name = names.find((one) => one !== undefined)!;
    const at = lines.findIndex((line) => hasWord(line, name));
    if (at >= 0) return { file, line: at + 1 };
  }
  return { file };
}

/** Not as a part of another name. */
function hasWord(line: string, word: string): boolean {
  const at = line.indexOf(word);
  return at >= 0 && !/[\w./-]/.test(line[at - 1] ?? ' ') && !/[\w./-]/.test(line[at + word.length] ?? ' ');
}
