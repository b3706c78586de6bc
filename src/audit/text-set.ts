import { randomSalt, sha256, utf8 } from './crypto.js';

const words = 6;

/**
 * Texts that were seen, in 24 bytes each, however many and however long: by their SHA-256, cut to 192 bits, under a salt of its own so that
 * nobody can prepare texts that are slow to tell apart.
 */
export class TextSet {
  readonly #salt = randomSalt();
  /** Open addressing; a slot whose words are all zero is free. */
  #slots = new Uint32Array(1024 * words);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(text: string): void {
    if (this.#size * 4 >= (this.#slots.length / words) * 3) this.#grow();
    const digest = this.#digest(text);
    const at = find(this.#slots, digest);
    if (!isFree(this.#slots, at)) return;
    this.#slots.set(digest, at);
    this.#size += 1;
  }

  has(text: string): boolean {
    return !isFree(this.#slots, find(this.#slots, this.#digest(text)));
  }

  #digest(text: string): Uint32Array {
    return new Uint32Array(new Uint8Array(sha256(this.#salt, utf8(text))).buffer, 0, words);
  }

  #grow(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    for (let at = 0; at < this.#slots.length; at += words) {
      if (isFree(this.#slots, at)) continue;
      const digest = this.#slots.subarray(at, at + words);
      slots.set(digest, find(slots, digest));
    }
    this.#slots = slots;
  }
}

/** Where the digest is, or else where it belongs. */
function find(slots: Uint32Array, digest: Uint32Array): number {
  const count = slots.length / words;
  for (let slot = digest[0] % count; ; slot = (slot + 1) % count) {
    const at = slot * words;
    if (isFree(slots, at) || digest.every((word, i) => slots[at + i] === word)) return at;
  }
}

function isFree(slots: Uint32Array, at: number): boolean {
  for (let i = 0; i < words; i += 1) if (slots[at + i] !== 0) return false;
  return true;
}
