import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReportFormat } from '../../report/export-entry.js';
import { manifestFileOf, readListing, readManifest } from './listing.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-listing-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function rows(name: string, text: string, format: ReportFormat): Promise<readonly number[]> {
  const file = join(folder, name);
  writeFileSync(file, text);
  return (await Array.fromAsync(readListing(file, format))).map((row) => row.log_index);
}

const row = (index: number, reason = ''): string => JSON.stringify({ log_index: index, leaf_hash: 'ab', reason });

describe('the rows of a listing', () => {
  it('are read one at a time, whatever line breaks their texts hold', async () => {
    const reasons = ['a\u2028b', 'a\u2029b', 'a\nb', 'é'.repeat(50_000), ''];
    const text = reasons.map((reason, n) => `${row(n, reason)}\n`).join('');
    expect(await rows('a.jsonl', text, 'jsonl')).toEqual([0, 1, 2, 3, 4]);
    expect(await rows('b.jsonl', text.replaceAll('}\n', '}\r\n').slice(0, -2), 'jsonl')).toEqual([0, 1, 2, 3, 4]);
    expect(await rows('a.csv', 'log_index,leaf_hash,reason\r\n4,ab,"a\u2028\nb"\r\n5,ab,\r\n', 'csv')).toEqual([4, 5]);
    expect(await rows('empty.jsonl', '', 'jsonl')).toEqual([]);
  });

  it('are refused by their place', async () => {
    await expect(rows('c.jsonl', `${row(0)}\n{}\n`, 'jsonl')).rejects.toThrow('row 2 of');
    await expect(rows('d.jsonl', `${row(0)}\n{"log`, 'jsonl')).rejects.toThrow('row 2 of');
    await expect(rows('c.csv', 'log_index,leaf_hash\r\n1,ab\r\n1,"ab\r\n', 'csv')).rejects.toMatchObject({ code: 'bundle-invalid' }); // prettier-ignore
  });

  it('are not read into memory without end, however long a line is', async () => {
    const file = join(folder, 'huge.jsonl');
    writeFileSync(file, '"');
    truncateSync(file, 3_000_000_000);
    await expect(Array.fromAsync(readListing(file, 'jsonl'))).rejects.toThrow('a line of it is longer than 16777216');
  });
});

function read(manifest: unknown): Promise<unknown> {
  const file = join(folder, 'm.csv');
  writeFileSync(manifestFileOf(file), typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  return readManifest(file);
}

describe('the manifest of a listing', () => {
  const whole = { id: 'e', report: 'changes', format: 'csv', size: 5, rows: 2, filters: {} };
  it('is read, with its sample', async () => {
    const sampled = { ...whole, sample: { seed: 's', size: 5 } };
    expect([await read(whole), await read(sampled)]).toEqual([whole, sampled]);
  });

  it.each<unknown>([
    '{',
    'null',
    { ...whole, filters: null },
    { ...whole, filters: [] },
    { ...whole, rows: '2' },
    { ...whole, format: 'xml' },
    { ...whole, sample: null },
    { ...whole, sample: { seed: 's', size: 0 } },
    { ...whole, sample: { size: 5 } },
    JSON.stringify({ ...whole, more: 'x'.repeat(2_000_000) }),
  ])('is refused when it is none (%#)', async (manifest) => {
    await expect(read(manifest)).rejects.toMatchObject({ code: 'bundle-invalid', message: expect.stringContaining('is no manifest') as string }); // prettier-ignore
  });

  it('is asked for when it is not there', async () => {
    await expect(readManifest(join(folder, 'none.csv'))).rejects.toMatchObject({ code: 'usage' });
  });
});
