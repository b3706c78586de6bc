/** Of Ed25519. */
export const signatureBytes = 64;

/** Many messages as one piece of memory that can change its thread: each with its length before it. */
export function joinMessages(messages: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(messages.reduce((sum, message) => sum + 4 + message.length, 0));
  const lengths = new DataView(joined.buffer);
  let at = 0;
  for (const message of messages) {
    lengths.setUint32(at, message.length);
    joined.set(message, at + 4);
    at += 4 + message.length;
  }
  return joined;
}

export function* eachMessage(joined: Uint8Array): Iterable<Uint8Array> {
  const lengths = new DataView(joined.buffer, joined.byteOffset, joined.byteLength);
  for (let at = 0; at < joined.length;) {
    const end = at + 4 + lengths.getUint32(at);
    yield joined.subarray(at + 4, end);
    at = end;
  }
}
