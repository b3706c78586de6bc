import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toCountersignError } from '../../errors.js';
import type { PolicyBundle } from '../../policy/bundle.js';

export type Compiled = Pick<PolicyBundle, 'wasm' | 'wasmDigest' | 'rules' | 'outputs'>;

/** Compiled bundles on disk by the digest of what they were made from: a second start needs no compiler at all. */
export class BundleCache<T extends { readonly wasm: Uint8Array } = Compiled> {
  constructor(private readonly folder: string) {}

  /** undefined if it is not there, or is not what was written. */
  async read(key: string): Promise<T | undefined> {
    let text: string;
    let wasm: Buffer;
    try {
      [text, wasm] = await Promise.all([readFile(this.path(key, 'json'), 'utf8'), readFile(this.path(key, 'wasm'))]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw toCountersignError(error);
    }
    const [digest, body] = [text.slice(0, 64), text.slice(65)];
    if (digest !== sha256(Buffer.concat([Buffer.from(body), wasm]))) return undefined; // half written, or tampered with
    return { ...(JSON.parse(body) as T), wasm: new Uint8Array(wasm) };
  }

  async write(key: string, { wasm, ...rest }: T): Promise<void> {
    const body = JSON.stringify(rest);
    try {
      await mkdir(this.folder, { recursive: true });
      // The Wasm first: the JSON, whose digest covers both, makes the pair valid.
      await this.place(this.path(key, 'wasm'), wasm);
      await this.place(this.path(key, 'json'), `${sha256(Buffer.concat([Buffer.from(body), wasm]))}\n${body}`);
    } catch (error) {
      throw toCountersignError(error);
    }
  }

  private async place(path: string, content: string | Uint8Array): Promise<void> {
    const staging = `${path}.${randomUUID()}`;
    await writeFile(staging, content);
    await rename(staging, path);
  }

  private path(key: string, kind: 'json' | 'wasm'): string {
    return join(this.folder, `${key}.${kind}`);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
