// Arrays as PostgreSQL itself sends them (array_send), so that bytes travel as they are. As text every byte would be written, sent
// and read as two hexadecimal digits. node-postgres sends a Buffer in binary format whatever the type of the parameter is.

const oids = { bytea: 17, bigint: 20, text: 25 } as const;

/** A parameter for `bytea[]`. */
export const byteaArray = (values: readonly Uint8Array[]): Buffer => binaryArray(oids.bytea, values);

/** A parameter for `text[]`. */
export const textArray = (values: readonly string[]): Buffer =>
  binaryArray(
    oids.text,
    values.map((value) => Buffer.from(value)),
  );

/** A parameter for `bigint[]`; a string is a decimal number beyond 2^53. */
export function bigintArray(values: readonly (number | string)[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 8);
  const parts = values.map((value, i) => {
    bytes.writeBigInt64BE(BigInt(value), i * 8);
    return bytes.subarray(i * 8, i * 8 + 8);
  });
  return binaryArray(oids.bigint, parts);
}

/** One dimension from 1, no NULLs: dimensions, flags, type, length, lower bound, then each element's length and bytes. */
function binaryArray(oid: number, values: readonly Uint8Array[]): Buffer {
  const dimensions = values.length === 0 ? 0 : 1;
  let size = 12 + dimensions * 8;
  for (const value of values) size += 4 + value.length;
  const array = Buffer.allocUnsafe(size);
  let at = array.writeInt32BE(dimensions, 0);
  at = array.writeInt32BE(0, at);
  at = array.writeInt32BE(oid, at);
  if (dimensions === 0) return array;
  at = array.writeInt32BE(values.length, at);
  at = array.writeInt32BE(1, at);
  for (const value of values) {
    at = array.writeInt32BE(value.length, at);
    array.set(value, at);
    at += value.length;
  }
  return array;
}
