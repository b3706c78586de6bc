import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StepFailed } from './failure.js';
import { flipByteOf, readZip, writeZip } from './tamper.js';

describe("the demo's tampering", () => {
  let folder = '';
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'countersign-demo-test-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('changes exactly one byte, inside the payload of the entry it was given', async () => {
    const [first, second] = [envelope('{"outcome":"allow"}'), envelope('{"outcome":"deny","more":"AAAA"}')];
    const original = [
      { name: 'README.md', bytes: Buffer.from('for the auditor') },
      { name: 'entries', bytes: Buffer.concat([first, Buffer.from('\n'), second, Buffer.from('\n')]) },
    ];
    await writeZip(join(folder, 'a.zip'), original);
    const { files, flip } = flipByteOf(await readZip(join(folder, 'a.zip')), second, '"deny"');
    await writeZip(join(folder, 'b.zip'), files);
    const read = await readZip(join(folder, 'b.zip'));
    expect(read.map(({ name }) => name)).toEqual(['README.md', 'entries']);
    expect(read[0].bytes).toEqual(original[0].bytes);
    const different = [...read[1].bytes.keys()].filter((i) => read[1].bytes[i] !== original[1].bytes[i]);
    expect(different).toEqual([flip.offset]);
    const [, changed] = read[1].bytes.toString().trimEnd().split('\n');
    const payload = Buffer.from((JSON.parse(changed) as { payload: string }).payload, 'base64').toString();
    expect(JSON.parse(payload)).toEqual(flip.payload);
    expect(flip.payload).toMatchObject({ more: 'AAAA', outcome: expect.not.stringMatching(/^deny$/) });
  });

  it('refuses when the entry is nowhere', () => {
    expect(() => flipByteOf([{ name: 'a', bytes: Buffer.from('b') }], envelope('{}'), 'x')).toThrow(StepFailed);
  });
});

function envelope(text: string): Buffer {
  return Buffer.from(
    JSON.stringify({ payloadType: 'x', payload: Buffer.from(text).toString('base64'), signatures: [] }),
  );
}
