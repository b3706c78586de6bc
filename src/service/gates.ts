import { join } from 'node:path';
import { ApprovedRefs } from '../adapters/git/approved-refs.js';
import { openCluster } from '../adapters/kubernetes/cluster.js';
import { followedIn, type Config } from '../config.js';
import type { Gate } from '../reconcile/approved-ref.js';
import { PeerWatch } from '../reconcile/peer-watch.js';
import { RefWatch } from '../reconcile/ref-watch.js';

/** The gates of the configuration: for each repository that one is granted to, its refs and who follows them. */
export interface Gates {
  of(target: string, repository: string): { readonly gate: Gate; readonly url: string } | undefined;
  /** Something moved a ref of that repository: true where it is one that we move, and is looked at now. */
  moved(repository: string, ref: string): boolean;
  close(): Promise<void>;
}

const key = (target: string, repository: string): string => `${target}\0${repository}`;

/** Throws `config-invalid` for a kubeconfig that cannot be used; nothing stays open then. */
export async function openGates(config: Config): Promise<Gates> {
  const gates = new Map<string, { readonly gate: Gate; readonly url: string }>();
  const peersOfAll = await openPeers(config);
  for (const { name, refs, remote, pollMilliseconds, grants } of config.gates) {
    const peers = peersOfAll.get(name) ?? null;
    for (const repository of followedIn(config)) {
      if (!grants.some((grant) => grant.repository === repository.name)) continue;
      const { url, credentials, ssh } = remote ?? repository;
      const mirror = join(config.data, 'mirrors', `${repository.name}.git`);
      const where = new ApprovedRefs(mirror, { url, ...(credentials && { credentials }), ...(ssh && { ssh }) }, refs.slice(0, -1)); // prettier-ignore
      const watch = new RefWatch(where, pollMilliseconds ?? repository.pollMilliseconds);
      const refOf = (environment: string): string => refs + environment;
      gates.set(key(name, repository.name), { gate: { target: name, remote: where, watch, peers, refOf }, url });
    }
  }
  return {
    of: (target, repository) => gates.get(key(target, repository)),
    moved: (repository, ref) => {
      const own = config.gates.filter(({ name, refs }) => ref.startsWith(refs) && gates.has(key(name, repository)));
      for (const { name } of own) gates.get(key(name, repository))!.gate.watch.nudge();
      return own.length > 0;
    },
    close: async () => {
      await Promise.all([...gates.values()].map(({ gate }) => gate.watch.close()));
      await Promise.all([...peersOfAll.values()].map((peers) => peers.close()));
    },
  };
}

/** Who follows the refs of each gate, where its `status` says how they are asked. */
async function openPeers(config: Config): Promise<ReadonlyMap<string, PeerWatch>> {
  const opened = new Map<string, PeerWatch>();
  try {
    for (const { name, status } of config.gates) {
      if (!status) continue;
      const { urls, ...connection } = status;
      opened.set(name, new PeerWatch(await openCluster({ name, ...connection }), urls));
    }
    return opened;
  } catch (thrown) {
    await Promise.all([...opened.values()].map((peers) => peers.close()));
    throw thrown;
  }
}
