import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { cacheFolder } from '../folder/cache-folder.js';
import { CountersignError } from '../../errors.js';
import { startTethered, type Tethered } from './tethered.js';

/** `admin` may do everything; `countersign` and `dana` (a person) too, under their own names; `weak` may only read. */
export type ControlPlaneUser = 'admin' | 'countersign' | 'dana' | 'weak';

export interface ControlPlaneOptions {
  /** Also run kube-controller-manager: Deployments make ReplicaSets, deleted namespaces really go. */
  readonly controllers?: boolean;
  /** Called with what the programs write: thousands of lines. */
  readonly onLine?: (program: string, line: string) => void;
}

export interface AuditDestination {
  /** `https://…` */
  readonly url: string;
  readonly token: string;
  /** Path of the PEM of who signed its certificate. */
  readonly authority: string;
}

/** A real etcd and kube-apiserver on loopback, for tests and the demo. They die with this process, however it dies. */
export interface ControlPlane {
  readonly url: string;
  readonly adminToken: string;
  /** Where its state is; gone after `stop`. */
  readonly directory: string;
  /** The API server's audit log, JSON lines: one event for each write request that was answered. */
  readonly auditLog: string;
  /** Path of a kubeconfig file. */
  kubeconfig(user?: ControlPlaneUser): string;
  /** SIGKILL; resolves when it is gone. etcd stays. */
  killApiServer(): Promise<void>;
  /** On the same port, with the same state; resolves when it is ready. */
  restartApiServer(): Promise<void>;
  /** Restarts it so that it posts its audit events there, a batch at least every 100 ms. */
  sendAudit(to: AuditDestination): Promise<void>;
  stop(): Promise<void>;
}

/** The folder with `etcd`, `kube-apiserver` (and `kube-controller-manager`), or null: it has to be built first. */
export function controlPlaneAssets(): string | null {
  const given = process.env['KUBEBUILDER_ASSETS'];
  if (given) return given;
  const pointer = join(cacheFolder(), 'control-plane.current');
  if (!existsSync(pointer)) return null;
  const folder = readFileSync(pointer, 'utf8').trim();
  return existsSync(join(folder, 'kube-apiserver')) ? folder : null;
}

/** Throws `cluster-unavailable` when the programs are not built or do not come up within a minute. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const assets = controlPlaneAssets();
  if (assets === null) {
    throw new CountersignError('cluster-unavailable', 'no Kubernetes control plane is built yet', {
      remedy: 'Run make control-plane, or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver',
    });
  }
  const directory = await mkdtemp(join(tmpdir(), 'countersign-control-plane-'));
  const running: Tethered[] = [];
  const plane = new LocalControlPlane(assets, directory, options, running);
  try {
    await plane.start();
    return plane;
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

class LocalControlPlane implements ControlPlane {
  readonly auditLog: string;
  readonly #tokens: Readonly<Record<ControlPlaneUser, string>> = {
    admin: newToken(),
    countersign: newToken(),
    dana: newToken(),
    weak: newToken(),
  };
  #ports: { etcd: number; peer: number; api: number } = { etcd: 0, peer: 0, api: 0 };
  #apiServer: Tethered | undefined;
  #audited = false;

  constructor(
    private readonly assets: string,
    readonly directory: string,
    private readonly options: ControlPlaneOptions,
    private readonly running: Tethered[],
  ) {
    this.auditLog = join(directory, 'audit.jsonl');
  }

  get url(): string {
    return `https://127.0.0.1:${this.#ports.api}`;
  }

  get adminToken(): string {
    return this.#tokens.admin;
  }

  kubeconfig(user: ControlPlaneUser | 'audit' = 'admin'): string {
    return join(this.directory, `${user}.kubeconfig`);
  }

  async start(): Promise<void> {
    const [etcd, peer, api] = await freePorts(3);
    this.#ports = { etcd, peer, api };
    await this.#writeCredentials();
    this.#startEtcd();
    await this.restartApiServer();
    await this.#writeKubeconfigs();
    await this.#grant();
    if (this.options.controllers) await this.#startControllers();
  }

  async killApiServer(): Promise<void> {
    await this.#apiServer?.kill();
  }

  async restartApiServer(): Promise<void> {
    await this.killApiServer();
    this.#apiServer = this.#run('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${this.#ports.etcd}`,
      `--secure-port=${this.#ports.api}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--cert-dir=${join(this.directory, 'certificates')}`,
      `--token-auth-file=${join(this.directory, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://countersign.invalid',
      `--service-account-key-file=${join(this.directory, 'service-account.pub')}`,
      `--service-account-signing-key-file=${join(this.directory, 'service-account.key')}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--disable-admission-plugins=ServiceAccount',
      `--audit-policy-file=${join(this.directory, 'audit-policy.yaml')}`,
      `--audit-log-path=${this.auditLog}`,
      // Written before the answer is sent, so that a reader who saw the answer finds the event.
      '--audit-log-mode=blocking-strict',
      ...(this.#audited
        ? [`--audit-webhook-config-file=${this.kubeconfig('audit')}`, '--audit-webhook-batch-max-wait=100ms']
        : []),
    ]);
    await this.#ready(this.#apiServer);
  }

  async sendAudit({ url, token, authority }: AuditDestination): Promise<void> {
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'audit',
      // Without TLS it would leave the token out.
      clusters: [{ name: 'audit', cluster: { server: url, 'certificate-authority': authority } }],
      users: [{ name: 'audit', user: { token } }],
      contexts: [{ name: 'audit', context: { cluster: 'audit', user: 'audit' } }],
    };
    await writeFile(this.kubeconfig('audit'), JSON.stringify(config), { mode: 0o600 });
    this.#audited = true;
    await this.restartApiServer();
  }

  async stop(): Promise<void> {
    // Nothing of theirs is kept, so nothing needs to end in order.
    await Promise.all(this.running.map((program) => program.kill()));
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  #run(program: string, args: readonly string[]): Tethered {
    const { onLine } = this.options;
    // A fifth less processor time, for memory that such small clusters do not fill.
    const command = ['GOGC=400', join(this.assets, program), ...args];
    const tethered = startTethered('/usr/bin/env', command, (line) => onLine?.(program, line));
    this.running.push(tethered);
    return tethered;
  }

  #startEtcd(): void {
    const client = `http://127.0.0.1:${this.#ports.etcd}`;
    const peer = `http://127.0.0.1:${this.#ports.peer}`;
    this.#run('etcd', [
      `--data-dir=${join(this.directory, 'etcd')}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ]);
  }

  async #startControllers(): Promise<void> {
    const kubeconfig = this.kubeconfig('admin');
    this.#run('kube-controller-manager', [
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      '--leader-elect=false',
      '--secure-port=0',
    ]);
    // Its first visible work: every namespace gets a default service account.
    await this.#until('kube-controller-manager', async () =>
      ok(await this.#get('/api/v1/namespaces/default/serviceaccounts/default')),
    );
  }

  async #writeCredentials(): Promise<void> {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const tokens = Object.entries(this.#tokens).map(([user, token]) =>
      user === 'admin' ? `${token},admin,admin,"system:masters"` : `${token},${user},${user}`,
    );
    const write = (name: string, text: string): Promise<void> =>
      writeFile(join(this.directory, name), text, { mode: 0o600 });
    await mkdir(join(this.directory, 'certificates'));
    await write('service-account.key', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    await write('service-account.pub', publicKey.export({ type: 'spki', format: 'pem' }) as string);
    await write('tokens.csv', `${tokens.join('\n')}\n`);
    await write('audit-policy.yaml', auditPolicy);
  }

  async #writeKubeconfigs(): Promise<void> {
    const authority = (await readFile(join(this.directory, 'certificates', 'apiserver.crt'))).toString('base64');
    for (const [user, token] of Object.entries(this.#tokens)) {
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'local',
        clusters: [{ name: 'local', cluster: { server: this.url, 'certificate-authority-data': authority } }],
        users: [{ name: user, user: { token } }],
        contexts: [{ name: 'local', context: { cluster: 'local', user } }],
      };
      await writeFile(this.kubeconfig(user as ControlPlaneUser), JSON.stringify(config), { mode: 0o600 });
    }
  }

  async #grant(): Promise<void> {
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const apiGroup = 'rbac.authorization.k8s.io';
    const bind = (role: string, users: readonly ControlPlaneUser[]): Promise<void> =>
      this.#create(`${rbac}/clusterrolebindings`, {
        apiVersion: `${apiGroup}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name: `local:${role}` },
        roleRef: { apiGroup, kind: 'ClusterRole', name: role },
        subjects: users.map((name) => ({ apiGroup, kind: 'User', name })),
      });
    await this.#create(`${rbac}/clusterroles`, {
      apiVersion: `${apiGroup}/v1`,
      kind: 'ClusterRole',
      metadata: { name: 'read-everything' },
      rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['get', 'list', 'watch'] }],
    });
    await bind('cluster-admin', ['countersign', 'dana']);
    await bind('read-everything', ['weak']);
  }

  async #create(path: string, object: object): Promise<void> {
    const answer = await this.#get(path, object);
    if (!ok(answer)) {
      throw new CountersignError('cluster-unavailable', `the new control plane refused ${path}: ${answer}`);
    }
  }

  async #ready(server: Tethered): Promise<void> {
    await this.#until('kube-apiserver', async () => {
      if (server.exited) throw notUp('kube-apiserver', server.lastLines());
      return ok(await this.#get('/readyz'));
    });
  }

  async #until(program: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 90_000;
    while (!(await condition())) {
      if (Date.now() > deadline) throw notUp(program, this.running.at(-1)?.lastLines() ?? '');
      await sleep(50);
    }
  }

  /** Status code, 0 when there is no answer yet. */
  async #get(path: string, body?: object): Promise<number> {
    const certificate = join(this.directory, 'certificates', 'apiserver.crt');
    if (!existsSync(certificate)) return 0;
    const dispatcher = new Agent({ connect: { ca: await readFile(certificate) }, allowH2: false });
    try {
      const answer = await request(this.url + path, {
        method: body ? 'POST' : 'GET',
        headers: { authorization: `Bearer ${this.adminToken}`, 'content-type': 'application/json' },
        body: body ? JSON.stringify(body) : null,
        dispatcher,
      });
      await answer.body.dump();
      return answer.statusCode;
    } catch {
      return 0; // not listening yet: the caller asks again until its deadline
    } finally {
      await dispatcher.close();
    }
  }
}

/** Every write in full, but Secrets without bodies; reads not at all. */
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    resources: [{group: coordination.k8s.io}, {group: "", resources: [events]}, {group: events.k8s.io}]
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
    resources: [{group: "", resources: [secrets]}]
  - level: RequestResponse
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
`;

const ok = (status: number): boolean => status >= 200 && status < 300;

const newToken = (): string => randomBytes(24).toString('base64url');

function notUp(program: string, lines: string): CountersignError {
  return new CountersignError('cluster-unavailable', `${program} did not come up; its last lines:\n${lines}`, {
    remedy: 'Look for another program that takes all memory or processor time, then try again',
    retry: true,
  });
}

/** Ports that were free a moment ago; held together, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
