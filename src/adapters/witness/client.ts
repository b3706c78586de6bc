import { request } from 'undici';
import type { WitnessPort } from '../../audit/cosigning.js';
import type { NoteVerifier } from '../../audit/note.js';
import { CountersignError } from '../../errors.js';

/** Milliseconds for one answer. */
const deadline = 5_000;
const maxAnswer = 64 * 1024;

/** A witness at its submission prefix (C2SP tlog-witness). */
export class HttpWitness implements WitnessPort {
  readonly #url: string;

  constructor(
    readonly key: NoteVerifier,
    address: string,
  ) {
    if (!/^https?:\/\//.test(address)) {
      throw new CountersignError('keys-invalid', `"${address}" is not the address of a witness`, {
        remedy: "Give the URL that the witness's operator names, such as https://witness.example.org",
      });
    }
    this.#url = `${address.replace(/\/+$/, '')}/add-checkpoint`;
  }

  async addCheckpoint(body: string): Promise<{ readonly status: number; readonly body: string }> {
    try {
      const answer = await request(this.#url, {
        method: 'POST',
        body,
        headers: { 'content-type': 'text/plain; charset=utf-8', 'user-agent': 'countersign' },
        signal: AbortSignal.timeout(deadline),
      });
      let text = '';
      for await (const chunk of answer.body) {
        text += (chunk as Buffer).toString('utf8');
        if (text.length > maxAnswer) throw new Error(`its answer is longer than ${maxAnswer} bytes`);
      }
      return { status: answer.statusCode, body: text };
    } catch (cause) {
      throw new CountersignError(
        'witness-unavailable',
        `witness ${this.key.name} cannot be asked: ${(cause as Error).message}`,
        { retry: true, remedy: 'Nothing to do if it comes back: it is asked again', cause },
      );
    }
  }
}
