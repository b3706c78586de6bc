import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ScratchRepository } from './git-fixture.js';

const run = promisify(execFile);

export interface NewKey {
  readonly algorithm?: string;
  /** As gpg takes them: `20200101T000000`. */
  readonly created?: string;
  readonly expires?: string;
  /** A subkey that signs, under a primary key that only certifies. */
  readonly subkey?: string;
}

/** A GnuPG home of its own, whose keys git signs with, and whose clock is the caller's. */
export class Keyring {
  private constructor(
    readonly home: string,
    private readonly program: string,
  ) {}

  static async create(): Promise<Keyring> {
    // Short: sockets live in it.
    const home = await mkdtemp(join(tmpdir(), 'cs-gpg-'));
    await chmod(home, 0o700);
    await writeFile(
      join(home, 'gpg.conf'),
      'batch\nno-tty\npinentry-mode loopback\npassphrase ""\nallow-weak-key-signatures\n',
    );
    const program = join(home, 'gpg');
    await writeFile(
      program,
      `#!/bin/sh\nexec gpg \${FAKED_TIME:+--faked-system-time "$FAKED_TIME"} $GPG_OPTIONS "$@"\n`,
    );
    await chmod(program, 0o755);
    return new Keyring(home, program);
  }

  async gpg(args: readonly string[], at = '', input?: string): Promise<Buffer> {
    const running = run(this.program, [...args], { env: this.environment(at), encoding: 'buffer' });
    // A gpg that reads nothing may be gone before this is written: its own exit code tells.
    running.child.stdin?.on('error', () => undefined).end(input);
    return (await running).stdout;
  }

  /** Makes a key; resolves to the primary key's fingerprint. */
  async key(
    userId: string,
    { algorithm = 'ed25519', created = '', expires = '0', subkey }: NewKey = {},
  ): Promise<string> {
    const usage = subkey === undefined ? 'sign,cert' : 'cert';
    await this.gpg(['--quick-generate-key', userId, algorithm, usage, expires], created);
    const [fingerprint] = await this.fingerprints(userId);
    if (subkey !== undefined) await this.gpg(['--quick-add-key', fingerprint, subkey, 'sign', expires], created);
    return fingerprint;
  }

  async fingerprints(userId: string): Promise<readonly string[]> {
    const listed = (await this.gpg(['--with-colons', '--list-keys', '--with-subkey-fingerprint', userId])).toString();
    return [...listed.matchAll(/^fpr:{9}([0-9A-F]+):/gm)].map(([, fingerprint]) => fingerprint);
  }

  async export(fingerprint: string): Promise<Buffer> {
    return this.gpg(['--armor', '--export', fingerprint]);
  }

  async revoke(fingerprint: string): Promise<void> {
    const file = join(this.home, 'openpgp-revocs.d', `${fingerprint}.rev`);
    await this.gpg(['--import'], '', (await readFile(file, 'utf8')).replace(':-----BEGIN', '-----BEGIN'));
  }

  /** An empty commit by that key; resolves to its id. */
  async commit(scratch: ScratchRepository, key: string, at = '', options = ''): Promise<string> {
    await this.git(
      scratch,
      ['-c', `user.signingKey=${key}`, 'commit', '--allow-empty', '-q', '-S', '-m', 'change'],
      at,
      options,
    );
    return scratch.head();
  }

  /** git with this keyring and clock. */
  async git(scratch: ScratchRepository, args: readonly string[], at = '', options = ''): Promise<string> {
    const settings = ['-c', 'gpg.format=openpgp', '-c', `gpg.program=${this.program}`];
    return scratch.run([...settings, ...args], this.environment(at, options));
  }

  async verdict(scratch: ScratchRepository, commit: string): Promise<string> {
    return this.git(scratch, ['log', '-1', '--format=%G?', commit]);
  }

  async close(): Promise<void> {
    await run('gpgconf', ['--kill', 'all'], { env: this.environment('') });
    await rm(this.home, { recursive: true, force: true });
  }

  private environment(at: string, options = ''): Record<string, string> {
    return { PATH: process.env['PATH'] ?? '', GNUPGHOME: this.home, FAKED_TIME: at, GPG_OPTIONS: options, LC_ALL: 'C' };
  }
}
