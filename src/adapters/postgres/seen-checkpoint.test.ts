import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signCheckpoint } from '../../audit/checkpoint.js';
import { ed25519Signer, sha256, utf8 } from '../../audit/crypto.js';
import { noteSigner } from '../../audit/note.js';
import { CheckpointFile } from './seen-checkpoint.js';

const log = noteSigner('log.example.org', ed25519Signer(sha256(utf8('log'))));
const note = (size: number): Promise<string> =>
  signCheckpoint({ origin: 'log.example.org', size, root: sha256(utf8(String(size))) }, log);

describe('the last checkpoint seen', () => {
  let data: string;
  beforeEach(() => (data = mkdtempSync(join(tmpdir(), 'countersign-seen-'))));
  afterEach(() => rmSync(data, { recursive: true }));

  const save = async (size: number): Promise<void> => {
    const file = new CheckpointFile(data);
    await file.save(await note(size));
    await file.close();
  };

  it('is the newest that was saved, also when opened again, and none at first', async () => {
    expect(await new CheckpointFile(data).load()).toBeUndefined();
    for (let size = 1; size < 12; size += 1) {
      await save(size);
      expect(await new CheckpointFile(data).load()).toBe(await note(size));
    }
  });

  it('never goes back, whatever older one is saved', async () => {
    const file = new CheckpointFile(data);
    for (const size of [5, 6, 3, 4, 2, 6]) await file.save(await note(size));
    await file.close();
    await save(1);
    await save(1);
    expect(await new CheckpointFile(data).load()).toBe(await note(6));
  });

  it('is the one before when the newest was cut off in the middle, at any byte', async () => {
    const file = new CheckpointFile(data);
    for (const size of [1, 2, 3]) await file.save(await note(size));
    const path = join(data, 'checkpoint');
    const before = readFileSync(path);
    await file.save(await note(4));
    await file.close();
    const after = readFileSync(path);
    const start = before.findIndex((byte, i) => byte !== after[i]);
    for (let at = start + 1; at < after.length; at += 97) {
      const torn = Buffer.concat([after.subarray(0, at), before.subarray(at)]);
      writeFileSync(path, torn);
      expect([await note(3), await note(4)]).toContain(await new CheckpointFile(data).load());
    }
  });

  it('is refused when both are unreadable: nobody may lose it unnoticed', async () => {
    writeFileSync(join(data, 'checkpoint'), 'garbage');
    await expect(new CheckpointFile(data).load()).rejects.toMatchObject({ code: 'data-folder' });
  });
});
