import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { CountersignError } from '../errors.js';
import type { CommitWithFiles, Repository } from '../source/repository.js';
import type { Signature, TagSignature } from '../source/signature.js';
import type { Signers } from '../source/signers.js';
import { type Column, Listing, type Output, outputOption } from './output.js';
import { Progress } from './progress.js';

interface Options {
  readonly head: string;
  readonly base?: string;
  readonly signers?: string;
  readonly revoked?: string;
  readonly output: Output;
}

export function register(program: Command): void {
  program
    .command('commits')
    .description('list every commit of a history, oldest first, with its signer and its files')
    .argument('[path]', 'a work tree or a bare repository', '.')
    .option('--head <revision>', 'the newest commit', 'HEAD')
    .option('--base <revision>', 'leave out what this commit already holds')
    .option('--signers <file>', 'allowed signers; by default .countersign/allowed_signers at the head')
    .option('--revoked <file>', 'revoked keys; by default .countersign/revoked_signers at the head')
    .addOption(outputOption('text', 'json', 'jsonl', 'csv', 'yaml'))
    .action(listCommits);
}

async function listCommits(path: string, options: Options): Promise<void> {
  const { openRepository } = await import('../adapters/git/open.js');
  const { checkNamedTag, checkSignature } = await import('../source/signers.js');
  const repository = await openRepository(path);
  try {
    const head = await repository.resolve(options.head);
    const range = options.base === undefined ? { head } : { head, exclude: [await repository.resolve(options.base)] };
    const signers = await signersFor(repository, head, options);
    // Nothing was seen before: now is when these commits are first seen, and their own dates are only claims.
    const seen = new Date();
    const tags = Map.groupBy(await repository.tags(), ({ commit }) => commit);
    const progress = new Progress('commits', await repository.count(range));
    const listing = new Listing(COLUMNS, { output: options.output, record, array: true });
    for await (const { commit, files } of repository.history(range)) {
      const signature = checkSignature(commit, signers, seen);
      const tagged = (tags.get(commit.id) ?? []).map((tag) => checkNamedTag(tag, signers, seen));
      await listing.add({ commit, files, signature, tagged });
      progress.advance();
    }
    progress.end();
    await listing.end('no commits');
  } finally {
    await repository.close();
  }
}

function whoSigned({ principal, status, reason = '' }: Signature): string {
  return principal ?? (status === 'none' ? 'not signed' : `${status}: ${reason}`);
}

interface Listed extends CommitWithFiles {
  readonly signature: Signature;
  readonly tagged: readonly TagSignature[];
}

const COLUMNS: readonly Column<Listed>[] = [
  { name: 'commit', value: ({ commit }) => commit.id, text: ({ commit }) => commit.id.slice(0, 12) },
  { name: 'time', value: ({ commit }) => commit.committer.time },
  { name: 'signer', value: ({ signature }) => whoSigned(signature) },
  { name: 'files', value: ({ files }) => files.length },
  { name: 'title', value: ({ commit }) => commit.message.split('\n', 1)[0] },
  { name: 'tags', value: ({ tagged }) => tagged.map((one) => `${one.tag} (${whoSigned(one.signature)})`) },
];

/** The same shape as in the policy input. */
function record({ commit, signature, files, tagged }: Listed): object {
  const { id, tree, parents, author, committer, message, trailers } = commit;
  return {
    id,
    tree,
    parents,
    author,
    committer,
    message,
    trailers,
    signature,
    files: files.map(({ path, op, mode }) => ({ path, op, mode })),
    ...(tagged.length > 0 && { tags: tagged }),
  };
}

async function signersFor(repository: Repository, head: string, options: Options): Promise<Signers> {
  const { readSigners } = await import('../source/governed-signers.js');
  const { parseSigners } = await import('../source/signers.js');
  if (options.signers === undefined && options.revoked === undefined) return readSigners(repository, head);
  const own = options.signers === undefined ? await readSigners(repository, head) : undefined;
  const given = parseSigners(
    options.signers === undefined ? { text: '', file: '' } : await readText(options.signers),
    options.revoked === undefined ? undefined : await readText(options.revoked),
  );
  return own ? { ...own, revoked: given.revoked } : given;
}

async function readText(file: string): Promise<{ text: string; file: string }> {
  try {
    return { text: await readFile(file, 'utf8'), file };
  } catch (cause) {
    throw new CountersignError('usage', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
