import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
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
