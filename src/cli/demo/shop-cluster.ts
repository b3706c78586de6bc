import { copyFile, writeFile } from 'node:fs/promises';
import { openCluster } from '../../adapters/kubernetes/cluster.js';
import { startControlPlane, type ControlPlane } from '../../adapters/kubernetes/control-plane.js';
import { readKubeconfig } from '../../adapters/kubernetes/kubeconfig.js';
import { ApiTransport } from '../../adapters/kubernetes/transport.js';
import { isJsonObject, type JsonObject, type ObjectIdentity } from '../../cluster/object.js';
import { CountersignError } from '../../errors.js';
import type { Cluster, LiveObject } from '../../reconcile/cluster.js';
import { until } from './failure.js';
import { stages, type Stage } from './team-files.js';

/** The cluster as the demo itself sees it: read by an observer, edited by Dana. The service has a client of its own. */
export class ShopCluster {
  private constructor(
    /** Where it is, for people. */
    readonly address: string,
    /** True for a control plane that is ours and goes with the demo. */
    readonly own: boolean,
    private readonly reader: Cluster,
    private readonly dana: ApiTransport,
    private readonly plane: ControlPlane | null,
    private readonly namespaces: Readonly<Record<Stage, string>>,
  ) {}

  /** A control plane of our own; its kubeconfig for the service is written to `kubeconfig`. */
  static async ours(kubeconfig: string, namespaces: Readonly<Record<Stage, string>>): Promise<ShopCluster> {
    const plane = await startControlPlane();
    try {
      await copyFile(plane.kubeconfig('countersign'), kubeconfig);
      const reader = await openCluster({ name: 'demo', kubeconfig: plane.kubeconfig('admin') });
      const dana = new ApiTransport('demo', await readKubeconfig(plane.kubeconfig('dana')));
      return new ShopCluster(plane.url, true, reader, dana, plane, namespaces);
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** A cluster of the user's: everybody is the user of this kubeconfig there. Throws `usage` if our namespaces exist already. */
  static async theirs(kubeconfig: string, namespaces: Readonly<Record<Stage, string>>): Promise<ShopCluster> {
    const connection = await readKubeconfig(kubeconfig);
    const reader = await openCluster({ name: 'demo', kubeconfig });
    const dana = new ApiTransport('demo', connection);
    const cluster = new ShopCluster(connection.server, false, reader, dana, null, namespaces);
    for (const stage of stages) {
      if (!(await reader.get(namespace(namespaces[stage])))) continue;
      throw new CountersignError('usage', `namespace ${namespaces[stage]} exists already in ${connection.server}`, {
        remedy: 'Delete it if an earlier demo left it, then try again',
      });
    }
    return cluster;
  }

  async get(identity: ObjectIdentity): Promise<LiveObject | null> {
    return this.reader.get(identity);
  }

  /** As the API server names it: `v1.34.4`. */
  async version(): Promise<string> {
    const answer = await this.dana.call({ method: 'GET', path: '/version', subject: { text: 'its version' } });
    const found = isJsonObject(answer) ? answer['gitVersion'] : '';
    return typeof found === 'string' ? found : '';
  }

  /** What `kubectl edit` sends: a patch under its own manager name. */
  async edit(identity: ObjectIdentity, patch: JsonObject): Promise<LiveObject> {
    const answer = await this.dana.call({
      method: 'PATCH',
      path: pathOf(identity),
      query: { fieldManager: 'kubectl-edit' },
      contentType: 'application/merge-patch+json',
      body: JSON.stringify(patch),
      subject: { text: identity.name },
    });
    return answer as LiveObject;
  }

  async delete(identity: ObjectIdentity): Promise<void> {
    await this.dana.call({ method: 'DELETE', path: pathOf(identity), subject: { text: identity.name } });
  }

  /** Where the API server writes its audit events; null where that is not ours to read. */
  get auditLog(): string | null {
    return this.plane?.auditLog ?? null;
  }

  async close(): Promise<void> {
    try {
      // In a cluster of the user's nothing of ours may stay.
      if (!this.own) {
        for (const stage of stages) await this.delete(namespace(this.namespaces[stage]));
        await until(
          'our namespaces to go',
          async () => {
            const left = await Promise.all(stages.map((stage) => this.reader.get(namespace(this.namespaces[stage]))));
            return left.every((object) => object === null) || null;
          },
          { atMost: 60_000, every: 500 },
        );
      }
    } finally {
      await this.dana.close();
      await this.reader.close();
      await this.plane?.stop();
    }
  }
}

/** Where the cluster will be once it is built: until then an address at which nobody answers. */
export async function writeAbsentKubeconfig(file: string): Promise<void> {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'building',
    clusters: [{ name: 'building', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'building', user: {} }],
    contexts: [{ name: 'building', context: { cluster: 'building', user: 'building' } }],
  };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
}

const namespace = (name: string): ObjectIdentity => ({
  group: '',
  version: 'v1',
  kind: 'Namespace',
  namespace: '',
  name,
});

function pathOf({ group, version, kind, namespace, name }: ObjectIdentity): string {
  const api = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return `${api}${namespace === '' ? '' : `/namespaces/${namespace}`}/${kind.toLowerCase()}s/${name}`;
}
