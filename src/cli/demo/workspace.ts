import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { CountersignError } from '../../errors.js';

/** Where the demo keeps its things: a folder of the user's that stays, or one that goes with it. */
export interface Workspace {
  readonly root: string;
  readonly kept: boolean;
  readonly data: string;
  readonly serviceFile: string;
  readonly serviceLog: string;
  readonly kubeconfig: string;
  readonly trust: string;
  /** The log's checkpoint, kept from an early moment. */
  readonly checkpoint: string;
  readonly evidence: string;
  readonly tampered: string;
  remove(): Promise<void>;
}

/** Throws `usage` when the folder to keep already holds something. */
export async function openWorkspace(keep: string | undefined): Promise<Workspace> {
  const root = keep === undefined ? await mkdtemp(join(tmpdir(), 'countersign-demo-')) : resolve(keep);
  if (keep !== undefined) {
    await mkdir(root, { recursive: true });
    if ((await readdir(root)).length > 0) {
      throw new CountersignError('usage', `${root} is not empty`, {
        remedy: 'Give --keep a folder that is new or empty',
      });
    }
  }
  await requirePassable(root);
  // The embedded database does not run as root: its own user must be able to pass through here, though not to look around.
  await chmod(root, 0o711);
  return {
    root,
    kept: keep !== undefined,
    data: join(root, 'data'),
    serviceFile: join(root, 'service.yaml'),
    serviceLog: join(root, 'service.log'),
    kubeconfig: join(root, 'kubeconfig.yaml'),
    trust: join(root, 'trust.txt'),
    checkpoint: join(root, 'checkpoint-earlier.txt'),
    evidence: join(root, 'evidence.zip'),
    tampered: join(root, 'evidence-tampered.zip'),
    remove: async () => {
      if (keep === undefined) await rm(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** As root the embedded database runs as a user of its own, who must get to the data folder. */
async function requirePassable(root: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (let folder = dirname(root); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) {
      throw new CountersignError(
        'usage',
        `only root may enter ${folder}, and the database in ${root} does not run as root`,
        {
          remedy: `Give --keep (or TMPDIR) a folder elsewhere, such as /var/tmp/countersign-demo, or chmod o+x ${folder}`,
        },
      );
    }
    if (folder === dirname(folder)) return;
  }
}
