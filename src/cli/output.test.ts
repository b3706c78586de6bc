import { stripVTControlCharacters } from 'node:util';
import { parse } from 'yaml';
import { type Column, Listing, type ListingOptions } from './output.js';

interface Row {
  readonly name: string;
  readonly size: number;
  readonly groups: readonly string[];
}
const columns: readonly Column<Row>[] = [
  { name: 'name', value: ({ name }) => name },
  { name: 'size', value: ({ size }) => size, text: ({ size }) => `${size} B` },
  { name: 'groups', value: ({ groups }) => groups },
];
const ann: Row = { name: 'ann', size: 7, groups: ['sre', 'shop'] };
const treacherous = 'a\u202eb\u001b[2J: #c\n=1+1';

/** What it writes, on a terminal of so many columns or into a file. */
async function printed(
  rows: readonly Row[],
  options: ListingOptions<Row>,
  width?: number,
  env: Record<string, string> = {},
) {
  const { isTTY, columns: before } = process.stdout;
  const write = Reflect.get(process.stdout, 'write') as unknown;
  const known = process.env['NO_COLOR'];
  let text = '';
  Object.assign(process.stdout, {
    write: (part: string) => Boolean((text += part)),
    isTTY: width !== undefined,
    columns: width,
  });
  if (env['NO_COLOR']) process.env['NO_COLOR'] = env['NO_COLOR'];
  else delete process.env['NO_COLOR'];
  try {
    const listing = new Listing(columns, options);
    for (const row of rows) await listing.add(row);
    await listing.end();
  } finally {
    Object.assign(process.stdout, { write, isTTY, columns: before });
    if (known === undefined) delete process.env['NO_COLOR'];
    else process.env['NO_COLOR'] = known;
  }
  return text;
}

describe('a listing', () => {
  it('is a table for people, whose columns stand in line whatever is in them', async () => {
    const rows = [ann, { name: '日本', size: 12_345, groups: [] }, { name: 'e\u0301', size: 1, groups: ['x'] }];
    expect(await printed(rows, { output: 'text', notes: ({ size }) => (size > 9 ? ['much\nof it'] : []) })).toBe(
      'NAME  SIZE     GROUPS\nann   7 B      sre shop\n日本  12345 B\n  much\\u000aof it\ne\u0301     1 B      x\n',
    );
    expect(await printed([], { output: 'text' })).toBe('none\n');
  });

  it('is no wider than a terminal, and whole in a file; its colour is for terminals that want it', async () => {
    const long = { ...ann, name: 'a'.repeat(60) };
    const text = await printed([long], { output: 'text' }, 40);
    for (const line of text.trimEnd().split('\n'))
      expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(40);
    expect(text).toContain('…');
    expect(text).toContain('\u001b[2mNAME');
    expect(await printed([long], { output: 'text' }, 40, { NO_COLOR: '1' })).not.toContain('\u001b');
    expect(await printed([long], { output: 'text' })).toContain('a'.repeat(60));
  });

  it('is CSV in which nothing is a formula, and has its head without a row, too', async () => {
    const rows = [ann, { ...ann, name: '=1+1' }];
    expect(await printed(rows, { output: 'csv' })).toBe("name,size,groups\r\nann,7,sre; shop\r\n'=1+1,7,sre; shop\r\n");
    expect(await printed([], { output: 'csv' })).toBe('name,size,groups\r\n');
  });

  it('is YAML and JSON that mean what the rows say, and move no cursor', async () => {
    const rows = [ann, { ...ann, name: treacherous }, { ...ann, name: 'tag \u{e0041}' }, { ...ann, name: 'no' }];
    const yaml = await printed(rows, { output: 'yaml' });
    expect(parse(yaml)).toEqual(rows);
    expect(JSON.parse(await printed(rows, { output: 'json', array: true }))).toEqual(rows);
    const lines = await printed(rows, { output: 'json' });
    expect(
      lines
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(rows);
    for (const text of [yaml, lines])
      for (const one of ['\u001b', '\u202e', '\u{e0041}']) expect(text).not.toContain(one);
    expect(parse(await printed([], { output: 'yaml' }))).toEqual([]);
    expect(JSON.parse(await printed([], { output: 'json', array: true }))).toEqual([]);
  });

  it('goes on while rows come, and holds no more than some back', async () => {
    const rows = Array.from({ length: 1_200 }, (_, i) => ({ ...ann, name: `n${i}` }));
    const text = await printed(rows, { output: 'text' });
    expect(text.split('\n').filter((line) => line.startsWith('NAME'))).toHaveLength(1);
    expect(text.trimEnd().split('\n')).toHaveLength(1_201);
  });
});
