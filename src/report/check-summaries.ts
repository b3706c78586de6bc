import { canonicalJson, parseStrictJson } from '../cluster/canonical.js';
import type { Json } from '../cluster/object.js';
import { fromUtf8, utf8 } from '../audit/crypto.js';
import { type EnvelopeKey, parseEnvelope, signedByAny } from '../audit/dsse.js';
import type { LoggedEntry } from '../audit/entry.js';
import { entryKeyIn } from '../audit/entry-keys.js';
import { CountersignError, toCountersignError } from '../errors.js';
import { inputOf, leafDigest, VSA_PAYLOAD, verificationSummary } from './vsa.js';

/**
 * Whether verification summaries say what the log says: each, in the order of the log, is the one that its decision's leaf makes, and is signed by a key that
 * the log names. Not every decision needs one. Hears of each entry of evidence while it is verified, and reads the file a second time in the end, because
 * the key that signed may have been named after the decision.
 */
export class SummaryCheck {
  readonly #keys = new Map<string, EnvelopeKey>();
  readonly #lines: AsyncIterator<string>;
  #waiting: { readonly leaf: string; readonly summary: Json } | undefined;
  #checked = 0;
  #begun = false;
  #fault: CountersignError | undefined;

  constructor(
    private readonly origin: string,
    /** The file's lines, anew each time. */
    private readonly read: () => AsyncIterable<string>,
  ) {
    this.#lines = read()[Symbol.asyncIterator]();
  }

  /** In the order of the log, from its first. Never rejects for what is wrong with the summaries. */
  async add(entry: LoggedEntry): Promise<void> {
    const key = entryKeyIn(entry);
    if (key) this.#keys.set(key.keyid, key);
    if (this.#fault || (entry.type !== 'decision' && this.#begun)) return;
    try {
      if (!this.#begun) await this.#next();
      this.#begun = true;
      // Only decisions are hashed: nothing else has a summary.
      if (entry.type !== 'decision' || !this.#waiting || this.#waiting.leaf !== leafDigest(entry)) return;
      const made = verificationSummary(this.origin, entry);
      if (!made || canonicalJson(made) !== canonicalJson(this.#waiting.summary))
        throw wrong(`line ${this.#checked + 1} says something else than the decision of entry ${entry.index}`);
      this.#checked += 1;
      await this.#next();
    } catch (thrown) {
      this.#fault = toCountersignError(thrown);
    }
  }

  /** For evidence that was found valid. Resolves to the number of summaries; throws `bundle-invalid` with the first thing wrong. */
  async end(): Promise<number> {
    if (this.#fault) throw this.#fault;
    if (!this.#begun) await this.#next();
    if (this.#waiting)
      throw wrong(`line ${this.#checked + 1} is of no decision of this log, or stands before one of an earlier entry`);
    let n = 0;
    for await (const line of this.read()) {
      n += 1;
      if (!signedByAny(parseLine(line, n), this.#keys))
        throw wrong(`line ${n} is not signed by a key that the log names`);
    }
    return this.#checked;
  }

  /** Lets go of the file. */
  async close(): Promise<void> {
    await this.#lines.return?.();
  }

  async #next(): Promise<void> {
    const { value: line, done } = await this.#lines.next();
    this.#waiting = undefined;
    if (done) return;
    const n = this.#checked + 1;
    const { payloadType, payload } = parseLine(line, n);
    if (payloadType !== VSA_PAYLOAD) throw wrong(`line ${n} holds ${payloadType.slice(0, 80)}`);
    const summary = strict(fromUtf8(payload) ?? '', n);
    const leaf = inputOf(summary);
    if (leaf === undefined) throw wrong(`line ${n} does not say what it was made of`);
    this.#waiting = { leaf, summary };
  }
}

function parseLine(line: string, n: number): ReturnType<typeof parseEnvelope> {
  try {
    return parseEnvelope(utf8(line));
  } catch (thrown) {
    throw wrong(`line ${n} cannot be read: ${toCountersignError(thrown).message}`);
  }
}

function strict(text: string, n: number): Json {
  try {
    return parseStrictJson(text);
  } catch (thrown) {
    throw wrong(`line ${n} cannot be read: ${toCountersignError(thrown).message}`);
  }
}

const wrong = (message: string): CountersignError =>
  new CountersignError('bundle-invalid', `the verification summaries: ${message}`, {
    remedy: 'Do not rely on them; export them anew',
  });
