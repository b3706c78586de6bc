import { openRepository } from '../../src/adapters/git/open.js';
import { CountersignError } from '../../src/errors.js';
import type { CommitWithFiles, HistoryRange, Repository } from '../../src/source/repository.js';

export const ADAPTERS = ['native', 'isomorphic'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/** Asks both adapters the same, expects the same answer (or the same refusal), and gives it. */
export async function both<T>(
  path: string,
  question: (opened: Repository) => Promise<T>,
): Promise<T | { code: string; retry: boolean }> {
  const answers: (T | { code: string; retry: boolean })[] = [];
  for (const adapter of ADAPTERS) answers.push(await ask(adapter, path, question));
  expect(answers[1]).toEqual(answers[0]);
  return answers[0];
}

export async function ask<T>(
  adapter: Adapter,
  path: string,
  question: (opened: Repository) => Promise<T>,
): Promise<T | { code: string; retry: boolean }> {
  let opened: Repository | undefined;
  try {
    opened = await openRepository(path, { adapter });
    return await question(opened);
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    return { code: error.code, retry: error.retry };
  } finally {
    await opened?.close();
  }
}

export async function historyOf(opened: Repository, range: HistoryRange): Promise<CommitWithFiles[]> {
  const found: CommitWithFiles[] = [];
  for await (const each of opened.history(range)) found.push(each);
  return found;
}
