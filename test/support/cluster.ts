import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import type { ControlPlane, ControlPlaneUser } from '../../src/adapters/kubernetes/control-plane.js';
import { openCluster } from '../../src/adapters/kubernetes/cluster.js';
import type { Grant } from '../../src/change/grant.js';
import type { JsonObject } from '../../src/cluster/object.js';
import type { Impersonation, LiveObject } from '../../src/reconcile/cluster.js';
import { Informers } from '../../src/reconcile/informer.js';
import type { InventoryEntry } from '../../src/reconcile/inventory.js';
import { EnvironmentReconciler, type ReconcilerParts } from '../../src/reconcile/loop.js';
import type { ReconcilerState } from '../../src/reconcile/reconciler-state.js';
import { redactor, RunRecorder } from './approvals.js';

export const everything: readonly Grant[] = [{ repository: 'shop', namespaces: ['*'], kinds: ['*'] }];

/** Somebody with a client of their own: edits as kubectl would make them. */
export class Person {
  readonly #agent: Agent;
  readonly #token: string;

  constructor(
    private readonly plane: ControlPlane,
    user: ControlPlaneUser,
    /** Whom they act as, where they may. */
    private readonly as?: { readonly user: string; readonly group: string },
  ) {
    const config = JSON.parse(readFileSync(plane.kubeconfig(user), 'utf8')) as {
      clusters: { cluster: { 'certificate-authority-data': string } }[];
      users: { user: { token: string } }[];
    };
    const authority = Buffer.from(config.clusters[0].cluster['certificate-authority-data'], 'base64').toString();
    this.#token = config.users[0].user.token;
    this.#agent = new Agent({ connect: { ca: authority }, allowH2: false });
  }

  get(path: string): Promise<LiveObject | null> {
    return this.#send('GET', path);
  }

  async must(path: string): Promise<LiveObject> {
    const found = await this.get(path);
    if (!found) throw new Error(`${path} is not there`);
    return found;
  }

  create(path: string, object: object, manager = 'kubectl-create'): Promise<LiveObject | null> {
    return this.#send('POST', `${path}?fieldManager=${manager}`, object, 'application/json');
  }

  /** JSON merge patch. */
  edit(path: string, patch: object, manager = 'kubectl-edit'): Promise<LiveObject | null> {
    return this.#send('PATCH', `${path}?fieldManager=${manager}`, patch, 'application/merge-patch+json');
  }

  /** Server-side apply with force. */
  apply(path: string, object: object, manager: string): Promise<LiveObject | null> {
    return this.#send('PATCH', `${path}?fieldManager=${manager}&force=true`, object, 'application/apply-patch+yaml');
  }

  delete(path: string): Promise<LiveObject | null> {
    return this.#send('DELETE', path);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #send(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
    type?: string,
  ): Promise<LiveObject | null> {
    const answer = await request(this.plane.url + path, {
      method,
      body: body ? JSON.stringify(body) : null,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(this.as ? { 'impersonate-user': this.as.user, 'impersonate-group': this.as.group } : {}),
        ...(type ? { 'content-type': type } : {}),
      },
      dispatcher: this.#agent,
    });
    const text = await answer.body.text();
    if (answer.statusCode === 404) return null;
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    return JSON.parse(text) as LiveObject;
  }
}

/** One environment's reconciler on a real API server, with what it recorded. */
export class World {
  readonly log = new RunRecorder();
  readonly states: ReconcilerState[] = [];
  epoch = 1;

  private constructor(
    readonly informers: Informers,
    readonly reconciler: EnvironmentReconciler,
  ) {}

  static async open(
    plane: ControlPlane,
    environment: string,
    options: {
      user?: ControlPlaneUser;
      grants?: readonly Grant[];
      inventory?: Iterable<InventoryEntry>;
      kubeconfig?: string;
      allowExec?: boolean;
      waitsFor?: ReconcilerParts['waitsFor'];
      request?: number;
      as?: Impersonation;
    } = {},
  ): Promise<World> {
    const deadlines = { request: options.request ?? 10_000, silence: 150_000 };
    const cluster = await openCluster({
      name: 'prod',
      kubeconfig: options.kubeconfig ?? plane.kubeconfig(options.user ?? 'countersign'),
      allowExec: options.allowExec,
      deadlines,
    });
    const informers = new Informers(cluster);
    let world: World | null = null;
    const reconciler = new EnvironmentReconciler('shop', environment, options.inventory ?? [], {
      informers,
      ...(options.as ? { writer: cluster.actingAs(options.as) } : {}),
      log: {
        started: (run, drifts) => world!.log.started(run, drifts),
        finished: (run, end) => world!.log.finished(run, end),
      },
      redactor,
      grants: options.grants ?? everything,
      ...(options.waitsFor ? { waitsFor: options.waitsFor } : {}),
      epoch: () => world?.epoch ?? 1,
      onState: (state) => world?.states.push(state),
    });
    world = new World(informers, reconciler);
    return world;
  }

  async close(): Promise<void> {
    await this.reconciler.stop();
    await this.informers.close();
    await this.informers.cluster.close();
  }
}

/** Resolves when the condition holds; rejects after ten seconds, naming it. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  milliseconds = 10_000,
): Promise<void> {
  const deadline = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${milliseconds} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const configMap = (namespace: string, name: string, data: JsonObject): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace },
  data,
});

export const namespace = (name: string): object => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

export const deployment = (ns: string, name: string, image: string, replicas = 2): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: ns, labels: { app: name } },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [
          {
            name,
            image,
            ports: [{ containerPort: 8080 }],
            env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
            resources: { limits: { cpu: 0.5, memory: '128Mi' }, requests: { cpu: '0.1' } },
          },
        ],
      },
    },
  },
});
