import { parentPort, workerData } from 'node:worker_threads';
import { ahead } from '../../change/ahead.js';
import { FileComparison } from '../../change/file-comparison.js';
import type { FileEffects } from '../../change/history.js';
import { ManifestCache } from '../../change/manifest-cache.js';
import type { CommitWithFiles } from '../../source/repository.js';
import type { ComparingData, FilesOfCommits } from './comparing-thread.js';
import { EffectsWriter } from './effects-message.js';
import { openRepository } from './open.js';

type Answer = FileEffects | { readonly fault: unknown; readonly bytes: 0 };

/** Commits of one message that are read ahead, and bytes of their files. */
const WINDOW = { items: 128, bytes: 16 * 1024 * 1024 };

const { path, adapter, limits, cacheBytes } = workerData as ComparingData;
const opening = openRepository(path, { adapter });
opening.catch(() => undefined);
const comparison = opening.then((repository) => new FileComparison(repository, new ManifestCache(cacheBytes, limits)));
comparison.catch(() => undefined);
const writer = new EffectsWriter();
let last: Promise<unknown> = Promise.resolve();

parentPort!.on('message', (message: string | null) => {
  if (message === null) {
    void opening
      .then(
        (repository) => repository.close(),
        () => undefined,
      )
      .finally(() => parentPort!.close());
    return;
  }
  // Its files are asked for while those of the message before it are read; answers go out in order.
  const answers = compareAll(JSON.parse(message) as FilesOfCommits);
  last = Promise.all([answers, last]).then(([written]) => parentPort!.postMessage(writer.write(written)));
});

async function compareAll(commits: FilesOfCommits): Promise<Answer[]> {
  const answers: Answer[] = [];
  for await (const { result } of ahead(commits, compare, WINDOW)) answers.push(result);
  return answers;
}

async function compare(files: FilesOfCommits[number]): Promise<Answer> {
  try {
    return await (await comparison).compare({ files } as CommitWithFiles);
  } catch (fault) {
    return { fault, bytes: 0 };
  }
}
