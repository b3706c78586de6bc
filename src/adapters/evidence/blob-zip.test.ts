import { buffer } from 'node:stream/consumers';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ZipFile } from 'yazl';
import { randomNumbers } from '../../../test/support/mutations.js';
import type { Evidence } from '../../audit/evidence.js';
import { CountersignError } from '../../errors.js';
import { openBlobZip } from './blob-zip.js';
import { crc32 } from './crc32.js';
import { openZip } from './zip.js';

// More of it, with another seed each time: make soak.
const cases = Number(process.env['CASES'] ?? 150);
const below = randomNumbers(Number(process.env['SEED'] ?? 20_261));

const names = ['checkpoint', 'manifest.json', 'tile/entries/000', 'README.txt', `content/${'a'.repeat(64)}`];
const contents = names.map((name, n) => Buffer.from(`${name} `.repeat(1 + n * 40)));

async function sample(stored: boolean): Promise<Buffer> {
  const writer = new ZipFile();
  names.forEach((name, i) => writer.addBuffer(contents[i], name, { compress: !stored, forceZip64Format: i % 2 === 1 }));
  writer.end({ forceZip64Format: stored, comment: '' });
  return buffer(writer.outputStream);
}

/** What a reader makes of a zip: each file's text, or the code of its refusal. */
async function readBy(open: () => Promise<Evidence & { close?: () => Promise<void> }>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const noting = async (name: string, work: () => Promise<string>): Promise<void> => {
    try {
      found.set(name, await work());
    } catch (error) {
      if (!(error instanceof CountersignError)) throw error;
      found.set(name, error.code);
    }
  };
  await noting('', async () => {
    const evidence = await open();
    for (const name of names)
      await noting(name, async () => Buffer.from(await evidence.read(name, 100_000)).toString());
    await evidence.close?.();
    return 'opened';
  });
  return found;
}

describe('a zip as a browser holds it', () => {
  it('gives what was put in, stored or deflated, with and without zip64', async () => {
    for (const stored of [true, false]) {
      const found = await readBy(async () => openBlobZip(new Blob([await sample(stored)])));
      expect([...found]).toEqual([...names.map((name, i) => [name, contents[i].toString()]), ['', 'opened']]);
    }
  });

  it('refuses every file longer than asked for, and what is not there', async () => {
    const evidence = await openBlobZip(new Blob([await sample(false)]));
    await expect(evidence.read('tile/entries/000', 10)).rejects.toThrow('longer than 10 bytes');
    await expect(evidence.read('tile/entries/001', 10)).rejects.toThrow('missing');
  });

  it('gives of a damaged one what was put in or refuses it in our words, as the other reader does', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-zips-'));
    const path = join(folder, 'damaged.zip');
    const samples = [await sample(true), await sample(false)];
    for (let round = 0; round < cases; round += 1) {
      const bytes = Buffer.from(samples[round % 2]);
      for (let edit = below(3); edit >= 0; edit -= 1) bytes[below(bytes.length)] ^= 1 << below(8);
      const whole = below(10) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
      writeFileSync(path, whole);
      for (const found of [await readBy(() => openBlobZip(new Blob([whole]))), await readBy(() => openZip(path))]) {
        const given = [...found].filter(([name, said]) => name !== '' && said !== 'bundle-invalid');
        expect([round, ...given]).toEqual([round, ...given.map(([name]) => [name, contents[names.indexOf(name)].toString()])]); // prettier-ignore
      }
    }
    rmSync(folder, { recursive: true });
  });
});

it('computes the checksum that every zip has', () => {
  expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926); // the check value of CRC-32/ISO-HDLC
  expect(crc32(new Uint8Array())).toBe(0);
});
