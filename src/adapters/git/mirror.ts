import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve as resolvePath } from 'node:path';
import { CountersignError } from '../../errors.js';
import type { Mirror, RefMove, RemoteOptions, Tag } from '../../source/repository.js';
import { corruptRepository, shallowRemote } from './faults.js';
import { isFolder } from './local-refs.js';
import { mirroredTags } from './mirror-tags.js';
import { NativeRepository } from './native.js';
import { complaint, runGit } from './processes.js';
import { inPrefixes } from './refs.js';
import { away, remoteOf, type Remote } from './remote.js';
import { sshReason } from './ssh.js';

const KEEP = 'refs/countersign/keep';
/** After this many fetches the mirror's small packs and loose refs are put together. */
const FETCHES_PER_REPACK = 200;
const FETCH_OPTIONS = [
  '--quiet',
  '--no-tags',
  '--no-write-fetch-head',
  '--no-auto-maintenance',
  '--no-recurse-submodules',
  '--no-show-forced-updates',
];
const FETCH_TIMEOUT = 30 * 60_000;

/**
 * Opens, or makes, the mirror of `remote` in `dir`. One process at a time may have it open. Throws `config-invalid` for a
 * URL that is not followed; a remote that is away is noticed by `poll`, so that a service can start without it.
 */
export async function openMirror(dir: string, remote: RemoteOptions): Promise<Mirror> {
  const where = remoteOf(remote);
  const path = resolvePath(dir);
  if (!(await isFolder(join(path, 'objects')))) await makeMirror(path, where, remote.refs);
  await removeLeftovers(path);
  // upload-pack of a repository that somebody else owns asks the user's own config whether to trust it, nothing else.
  await writeFile(join(path, 'trust.gitconfig'), `[safe]\n\tdirectory = *\n`);
  return new NativeMirror(
    path,
    where,
    remote.refs.map((ref) => ref.replace(/\/\*$/, '')),
    await NativeRepository.open(path),
    remote.except ?? [],
  );
}

/** Made beside its place and renamed, so that a killed process leaves either a whole mirror or none. */
async function makeMirror(path: string, remote: Remote, refs: readonly string[]): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(dirname(path), { recursive: true });
  const format = await objectFormatOf(remote, refs);
  const { code, stderr } = await runGit([
    'init',
    '--quiet',
    '--bare',
    '--template=',
    `--object-format=${format}`,
    temporary,
  ]);
  if (code !== 0) throw new CountersignError('data-folder', `no mirror can be made at ${path}: ${stderr}`);
  await rm(path, { recursive: true, force: true });
  await rename(temporary, path);
}

/** Over a network its ids tell; one that is away or empty is taken for what nearly all are. */
async function objectFormatOf(remote: Remote, followed: readonly string[]): Promise<string> {
  const { address, environment } = remote;
  if (!environment.protocols?.includes('file')) {
    const tips = await remote
      .refs(followed.map((ref) => ref.replace(/\/\*$/, '')))
      .catch(() => new Map<string, string>());
    return [...tips.values()].some((id) => id.length === SHA256_ID) ? 'sha256' : 'sha1';
  }
  const { stdout } = await runGit(['-C', address, 'rev-parse', '--show-object-format']).catch(() => ({ stdout: '' }));
  return stdout.toString().trim() || 'sha1';
}

const SHA256_ID = 64;

/** What a fetch that was killed leaves behind: locks that would stop the next one, and half-written packs. */
async function removeLeftovers(path: string): Promise<void> {
  const unfinished = /^(?:tmp_|incoming-)/;
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const place = join(entry.parentPath, entry.name);
    if (entry.name.endsWith('.lock') || (unfinished.test(entry.name) && place.startsWith(join(path, 'objects')))) {
      await rm(place, { recursive: true, force: true });
    }
  }
}

class NativeMirror implements Mirror {
  /** Ids of tips to the commits they mean: a tag's to its commit, a commit's to itself. */
  private readonly commits = new Map<string, string>();
  private fetches = 0;

  constructor(
    private readonly path: string,
    private readonly remote: Remote,
    private readonly refs: readonly string[],
    readonly repository: NativeRepository,
    private readonly except: readonly string[],
  ) {}

  async poll(): Promise<ReadonlyMap<string, string>> {
    const tips = await this.tips();
    const commits = new Map<string, string>();
    // A tip that is not fetched yet stands for itself: what matters is that it differs from the one seen.
    for (const [ref, id] of tips) commits.set(ref, (await this.commitOf(id)) ?? id);
    return commits;
  }

  async fetch(seen: ReadonlyMap<string, string>): Promise<readonly RefMove[]> {
    const tips = await this.tips();
    await this.bring(new Set(tips.values()));
    const moves: RefMove[] = [];
    for (const ref of new Set([...seen.keys(), ...tips.keys()])) {
      const id = tips.get(ref);
      // A tag of something else than a commit has nothing to deploy.
      const tip = id === undefined ? null : ((await this.commitOf(id)) ?? null);
      const move = await this.classify(ref, seen.get(ref) ?? null, tip);
      if (move) moves.push(move);
    }
    return moves;
  }

  close(): Promise<void> {
    return this.repository.close();
  }

  private async tips(): Promise<Map<string, string>> {
    const tips = await this.remote.refs(this.refs);
    if (this.except.length > 0) for (const ref of tips.keys()) if (inPrefixes(ref, this.except)) tips.delete(ref);
    const sha256 = this.repository.objectFormat === 'sha256';
    for (const id of tips.values()) {
      if ((id.length === SHA256_ID) === sha256) continue;
      const { address } = this.remote;
      throw new CountersignError('repository-unsupported', `${address} and its mirror differ in their object format`, {
        remedy: `Stop the service, remove ${this.path} and start it again`,
      });
    }
    return tips;
  }

  /**
   * Fetches by id, and the refs that pin them are written by the same git: either a tip is here, whole and pinned, or nothing
   * changed. The remote may move on meanwhile; that is the next poll's news.
   */
  async bring(ids: ReadonlySet<string>): Promise<void> {
    const wanted: string[] = [];
    for (const id of ids) if (!(await this.repository.refersTo(`${KEEP}/${id}`, id))) wanted.push(id);
    if (wanted.length === 0) return;
    await this.fetchSpecs(wanted.map((id) => `+${id}:${KEEP}/${id}`));
  }

  tags(): Promise<readonly Tag[]> {
    return mirroredTags(this.path, this.remote, this.repository, (specs) => this.fetchSpecs(specs));
  }

  private async fetchSpecs(specs: readonly string[]): Promise<void> {
    const { code, stderr } = await runGit(
      ['--git-dir', this.path, 'fetch', ...FETCH_OPTIONS, '--stdin', '--', this.remote.address],
      {
        ...this.remote.environment,
        variables: { ...this.remote.environment.variables, GIT_CONFIG_GLOBAL: join(this.path, 'trust.gitconfig') },
        input: specs.map((spec) => `${spec}\n`).join(''),
        timeout: FETCH_TIMEOUT,
      },
    );
    if (code !== 0) throw this.fetchFault(stderr);
    // Git only warns of it, and pins nothing: it is whole or it is not followed.
    if (stderr.includes('shallow roots are not allowed')) throw shallowRemote(this.remote.address);
    if (++this.fetches % FETCHES_PER_REPACK === 0) await this.repack();
  }

  private async commitOf(id: string): Promise<string | undefined> {
    const known = this.commits.get(id);
    if (known !== undefined) return known;
    const commit = await this.repository.peel(id);
    if (commit !== undefined) this.commits.set(id, commit);
    return commit;
  }

  private async classify(ref: string, old: string | null, tip: string | null): Promise<RefMove | undefined> {
    if (old === tip) return undefined;
    if (old === null) return { ref, kind: 'created', old, new: tip };
    if (tip === null) return { ref, kind: 'deleted', old, new: tip };
    const move = { ref, old, new: tip };
    if ((await this.repository.commit(tip)).parents.includes(old)) return { ...move, kind: 'advanced' };
    // A mirror that was made anew may not hold what was seen once; then descent cannot be shown, and that is a forced move.
    if ((await this.repository.peel(old)) === undefined) return { ...move, kind: 'forced' };
    if (await this.repository.isAncestor(old, tip)) return { ...move, kind: 'advanced' };
    return { ...move, kind: (await this.repository.isAncestor(tip, old)) ? 'rewound' : 'forced' };
  }

  /**
   * Packs and refs only grow otherwise; nothing is dropped, since every tip is pinned. What fails here changes nothing and is
   * tried again after as many fetches; the fetch itself has succeeded.
   */
  private async repack(): Promise<void> {
    await runGit(['--git-dir', this.path, 'pack-refs', '--all']);
    await runGit(['--git-dir', this.path, 'repack', '-d', '-q', '--geometric=2']);
  }

  private fetchFault(stderr: string): CountersignError {
    const reason = sshReason(stderr) ?? complaint(stderr);
    if (/no space left/i.test(stderr)) {
      return new CountersignError('disk-full', `no space to fetch ${this.remote.address}`, {
        remedy: 'Free space',
        retry: true,
      });
    }
    if (/mismatched algorithms|object format/i.test(stderr)) {
      return new CountersignError(
        'repository-unsupported',
        `${this.remote.address} uses another object format than its mirror`,
        {
          remedy: `Remove ${this.path} and start again`,
        },
      );
    }
    if (
      /corrupt|fsck error|inflate|bad object|did not send all necessary|unable to read|missing (?:blob|tree|commit)|index-pack failed|invalid/i.test(
        stderr,
      )
    ) {
      return corruptRepository(this.remote.address, reason);
    }
    return away(this.remote.address, reason);
  }
}
