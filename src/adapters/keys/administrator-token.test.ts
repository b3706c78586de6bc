import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tokenDigest } from '../../review/token.js';
import { ADMINISTRATOR_TOKEN, administratorToken } from './administrator-token.js';

let data: string;
beforeEach(async () => void (data = await mkdtemp(join(tmpdir(), 'countersign-token-'))));
afterEach(() => rm(data, { recursive: true }));
const file = (): string => join(data, ADMINISTRATOR_TOKEN);

describe('the token of a service that was not told who may what', () => {
  it('is made once, is random, is for its owner only, and known by its digest', async () => {
    const known = await administratorToken(data);
    const token = (await readFile(file(), 'utf8')).trim();
    expect(token).toMatch(/^cs_[\w-]{43}$/);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(known).toMatchObject({ role: 'administrator', sha256: tokenDigest(token) });
    expect(JSON.stringify(known)).not.toContain(token);
    expect(await administratorToken(data)).toEqual(known);
    await rm(file());
    expect((await administratorToken(data)).sha256).not.toBe(known.sha256);
  });

  it('counts no more where others could have read it, or where it is no token', async () => {
    await administratorToken(data);
    await chmod(file(), 0o640);
    await expect(administratorToken(data)).rejects.toMatchObject({ code: 'keys-invalid' });
    await rm(file());
    await writeFile(file(), 'password\n', { mode: 0o600 });
    await expect(administratorToken(data)).rejects.toMatchObject({ code: 'keys-invalid' });
  });
});
