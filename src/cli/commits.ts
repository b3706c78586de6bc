import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { CountersignError } from '../errors.js';
import type { Commit, CommitWithFiles, Repository } from '../source/repository.js';
import type { Signature, TagSignature } from '../source/signature.js';
import type { Signers } from '../source/signers.js';
import { jsonLine, print, printable } from './output.js';
import { Progress } from './progress.js';

interface Options {
  readonly head: string;
  readonly base?: string;
  readonly signers?: string;
  readonly revoked?: string;
  readonly output: 'text' | 'json' | 'jsonl';
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
    .addOption(new Option('--output <format>', 'how to print them').choices(['text', 'json', 'jsonl']).default('text'))
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
    let first = true;
    if (options.output === 'json') await print('[');
    for await (const { commit, files } of repository.history(range)) {
      const signature = checkSignature(commit, signers, seen);
      const tagged = (tags.get(commit.id) ?? []).map((tag) => checkNamedTag(tag, signers, seen));
      if (options.output === 'text') await print(textLine(commit, signature, files.length, tagged));
      else {
        const line = jsonLine({ ...record(commit, signature, files), ...(tagged.length > 0 && { tags: tagged }) });
        await print(`${options.output === 'json' && !first ? ',' : ''}${line}`);
      }
      first = false;
      progress.advance();
    }
    progress.end();
    if (options.output === 'json') await print(']');
  } finally {
    await repository.close();
  }
}

function whoSigned({ principal, status, reason = '' }: Signature): string {
  return principal ?? (status === 'none' ? 'not signed' : `${status}: ${reason}`);
}

function textLine(commit: Commit, signature: Signature, files: number, tags: readonly TagSignature[]): string {
  const who = whoSigned(signature);
  const [title] = commit.message.split('\n', 1);
  const changed = `${files} ${files === 1 ? 'file' : 'files'}`;
  const tagged = tags.map((one) => `tag ${one.tag} (${whoSigned(one.signature)})`);
  return printable([commit.id.slice(0, 12), commit.committer.time, who, changed, title, ...tagged].join('  '));
}

/** The same shape as in the policy input. */
function record(commit: Commit, signature: Signature, files: CommitWithFiles['files']): object {
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
