import { join } from 'node:path';
import { CountersignError } from '../../errors.js';
import type { RefRemote } from '../../reconcile/approved-ref.js';
import { assertApproved, type ApprovedChange } from '../../reconcile/gate.js';
import type { RemoteOptions } from '../../source/repository.js';
import { runGit } from './processes.js';
import { remoteOf, type Remote } from './remote.js';
import { sshReason } from './ssh.js';

const PUSH_TIMEOUT = 60_000;

/** Refs under one folder of a remote, moved through the mirror of the governed repository, which has every approved commit. */
export class ApprovedRefs implements RefRemote {
  readonly where: string;
  readonly #remote: Remote;

  constructor(
    /** The mirror's folder. */
    private readonly path: string,
    remote: Omit<RemoteOptions, 'refs'>,
    /** `refs/heads/countersign/approved` */
    private readonly folder: string,
  ) {
    this.#remote = remoteOf({ ...remote, refs: [] });
    this.where = this.#remote.address;
  }

  read(): Promise<ReadonlyMap<string, string>> {
    return this.#remote.refs([this.folder]);
  }

  async isForward(from: string, to: string): Promise<boolean> {
    return (await runGit(['--git-dir', this.path, 'merge-base', '--is-ancestor', from, to])).code === 0;
  }

  async move(ref: string, from: string | null, approved: ApprovedChange): Promise<void> {
    assertApproved(approved);
    if (!ref.startsWith(`${this.folder}/`)) {
      throw new CountersignError(
        'not-approved',
        `${ref} is no ref that is moved here, only those under ${this.folder}`,
      );
    }
    const { head } = approved;
    const { environment } = this.#remote;
    // The lease makes it a compare-and-swap: an empty one stands for a ref that is not there.
    const { code, stdout, stderr } = await runGit(
      [
        '--git-dir',
        this.path,
        'push',
        '--porcelain',
        '--no-verify',
        '--no-signed',
        `--force-with-lease=${ref}:${from ?? ''}`,
        this.#remote.address,
        `${head}:${ref}`,
      ],
      {
        ...environment,
        variables: { ...environment.variables, GIT_CONFIG_GLOBAL: join(this.path, 'trust.gitconfig') },
        timeout: PUSH_TIMEOUT,
      },
    );
    if (code === 0) return;
    throw this.#refusal(ref, `${stdout.toString()}\n${stderr}`, stderr);
  }

  #refusal(ref: string, all: string, stderr: string): CountersignError {
    // `!	COMMIT:REF	[rejected] (stale info)`
    const rejected = /^!\t\S+\t(.+)$/m.exec(all)?.[1];
    if (
      /stale info|cannot lock ref '[^']*': (is at|reference already exists|unable to resolve)|incorrect old value|fetch first/i.test(
        all,
      )
    ) {
      return new CountersignError('ref-moved', `${ref} of ${this.where} was moved by somebody else meanwhile`, { retry: true }); // prettier-ignore
    }
    if (rejected === undefined) {
      const reason = sshReason(stderr) ?? stderr.split('\n').find((line) => /^(?:fatal|error):/.test(line)) ?? stderr.split('\n')[0]; // prettier-ignore
      return new CountersignError('git-failed', `${this.where} did not take ${ref}: ${reason}`, {
        remedy: `Let the service push ${this.folder}/* there`,
        retry: !/denied|not allowed|forbidden|401|403/i.test(reason),
      });
    }
    const said = stderr.split('\n').filter((line) => line.startsWith('remote: ')).map((line) => line.slice(8).trim()).filter((line) => line !== '').join(' ').slice(0, 300); // prettier-ignore
    const clash = /cannot lock ref|directory file conflict|exists; cannot create/i.test(all);
    return new CountersignError(
      'git-failed',
      `${this.where} refused to move ${ref}: ${rejected}${said ? ` (${said})` : ''}`,
      {
        remedy: clash
          ? 'A branch cannot be named like a folder of branches: rename one of the environments, or delete the branch in the way'
          : `Let the service, and nobody else, push ${this.folder}/* there, with force: it goes back to earlier commits, too`,
      },
    );
  }
}
