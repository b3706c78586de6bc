import type { FileEffects } from '../../change/history.js';
import type { ObjectChange } from '../../change/proposed-change.js';
import type { JsonPatchOperation } from '../../cluster/diff.js';
import { identityOf, type KubernetesObject, type Source } from '../../cluster/object.js';
import { CountersignError, toCountersignError, type ErrorCode, type Place } from '../../errors.js';

/** In characters of JSON: what the reader keeps, because a later change may name it again. */
const KEPT = 16 * 1024 * 1024;

/** JSON text: several times faster to write and to read again than a structured clone. */
interface Message {
  /** Numbers of objects that no later change will name. */
  readonly forget: readonly number[];
  /** Those that changes name for the first time; their numbers count on. */
  readonly objects: readonly KubernetesObject[];
  readonly answers: readonly Answer[];
}

type Answer =
  | { readonly fault: WrittenError }
  | {
      readonly changes: readonly WrittenChange[];
      readonly unreadable: readonly WrittenError[];
      readonly bytes: number;
    };

interface WrittenChange {
  readonly op: ObjectChange['op'];
  /** Numbers of objects. */
  readonly before: number | null;
  readonly after: number | null;
  readonly patch: readonly JsonPatchOperation[];
  readonly source: Source;
}

interface WrittenError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly place?: Place | undefined;
  readonly remedy?: string | undefined;
  readonly retry: boolean;
}

/**
 * Writes the effects of commits for another thread. Every version of an object is written once, for as long as it is likely to be
 * named again: what a commit brings, a later one takes away. Only the writer decides how long that is.
 */
export class EffectsWriter {
  readonly #sent = new Map<KubernetesObject, { readonly number: number; readonly size: number }>();
  #next = 0;
  #held = 0;

  write(answers: readonly (FileEffects | { readonly fault: unknown })[]): string {
    const objects: string[] = [];
    const number = (object: KubernetesObject | null): number | null => {
      if (object === null) return null;
      let known = this.#sent.get(object);
      if (known) this.#sent.delete(object);
      else {
        const text = JSON.stringify(object);
        objects.push(text);
        known = { number: this.#next++, size: text.length };
        this.#held += known.size;
      }
      this.#sent.set(object, known);
      return known.number;
    };
    const written = answers.map((answer): Answer => {
      if ('fault' in answer) return { fault: writeError(toCountersignError(answer.fault)) };
      const changes = answer.changes.map(({ op, before, after, patch, source }) => ({ op, before: number(before), after: number(after), patch, source })); // prettier-ignore
      return { changes, unreadable: answer.unreadable.map(writeError), bytes: answer.bytes };
    });
    // What this message names is read with it, so only later ones can miss it.
    return `{"objects":[${objects.join(',')}],"answers":${JSON.stringify(written)},"forget":${JSON.stringify(this.forget())}}`;
  }

  private forget(): number[] {
    const forgotten: number[] = [];
    for (const [object, { number, size }] of this.#sent) {
      if (this.#held <= KEPT) break;
      this.#sent.delete(object);
      this.#held -= size;
      forgotten.push(number);
    }
    return forgotten;
  }
}

/** Reads what one writer wrote, all of it and in its order. An object that is named twice is one. */
export class EffectsReader {
  readonly #objects = new Map<number, KubernetesObject>();
  #next = 0;

  read(text: string): (FileEffects | { readonly fault: CountersignError })[] {
    const { objects, answers, forget } = JSON.parse(text) as Message;
    for (const object of objects) this.#objects.set(this.#next++, object);
    const effects = answers.map((answer) => {
      if ('fault' in answer) return { fault: readError(answer.fault) };
      const { bytes } = answer;
      return { changes: answer.changes.map((change) => this.change(change)), unreadable: answer.unreadable.map(readError), bytes }; // prettier-ignore
    });
    for (const number of forget) this.#objects.delete(number);
    return effects;
  }

  private change({ op, before, after, patch, source }: WrittenChange): ObjectChange {
    const left = this.object(before);
    const right = this.object(after);
    return { op, identity: identityOf((right ?? left)!), before: left, after: right, patch, source };
  }

  private object(number: number | null): KubernetesObject | null {
    if (number === null) return null;
    const object = this.#objects.get(number);
    if (!object) throw new CountersignError('internal', 'a thread named an object that it never sent');
    return object;
  }
}

function writeError({ code, message, place, remedy, retry }: CountersignError): WrittenError {
  return { code, message, place, remedy, retry };
}

function readError({ code, message, ...detail }: WrittenError): CountersignError {
  return new CountersignError(code, message, detail);
}
