import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OwnClone } from '../../src/adapters/git/approvals-ref.js';
import { person, type Person, ScratchRepository } from '../../src/adapters/git/scratch-repository.js';
import { signWithSsh } from '../../src/adapters/keys/ssh-keygen.js';
import { createLogger } from '../../src/commentary.js';
import { loadConfig } from '../../src/config.js';
import { run, type RunningService } from '../../src/main.js';
import {
  APPROVAL_NAMESPACE,
  APPROVALS_REF,
  approvalPath,
  approvalText,
  type ApprovalStatement,
  type ApprovedBytes,
} from '../../src/review/approval.js';
import { withdrawalPath, withdrawalText } from '../../src/review/withdrawal.js';
import { eventually } from './world.js';

export const STAGING = 'shop/staging';
export const PRODUCTION = 'shop/production';

export interface ApprovalRow {
  readonly id: string;
  readonly status: string;
  readonly reason: string | null;
  readonly principal: string | null;
  readonly target: string | null;
  readonly environment: string | null;
  readonly head: string | null;
  readonly index: number | null;
}

export interface DecisionRow {
  readonly id: string;
  readonly outcome: string;
  readonly index: number | null;
  readonly required: readonly { readonly rule: string; readonly message: string }[];
  readonly violations: readonly { readonly rule: string; readonly message: string }[];
  readonly approvals: readonly { readonly id: string; readonly principal: string }[];
  readonly uncountedApprovals: readonly { readonly approval: { readonly id: string }; readonly reason: string }[];
  readonly reviewDuty: {
    readonly principal: string;
    readonly reason: string;
    readonly ticket: string | null;
    readonly dueAt: string;
    readonly closedAt: string | null;
    readonly expired: boolean;
  } | null;
  readonly change: ApprovedBytes & { readonly operation: string };
}

const FIELDS = `id outcome index required { rule message } violations { rule message } approvals { id principal } uncountedApprovals { approval { id } reason }
  reviewDuty { principal reason ticket dueAt closedAt expired }
  change { repository environment target ref base head tree renderedDigest operation }`;

/** A line of allowed_signers for somebody who may commit and approve. */
export function mayApprove({ email, publicKey }: Person, names = email): string {
  return `${names} namespaces="git,${APPROVAL_NAMESPACE}" ${publicKey}\n`;
}

export interface Office {
  /** Settings of the starter rules. */
  readonly data: string;
  readonly signers?: (people: { ann: Person; bo: Person; cy: Person }) => string;
  readonly files?: Readonly<Record<string, string>>;
  /** Further settings of the repository in service.yaml, as `forge: {…}`; and of the service itself, each a line. */
  readonly settings?: string;
  readonly service?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Names of branches that begin where the repository does, and files beside service.yaml. */
  readonly branches?: readonly string[];
  readonly beside?: Readonly<Record<string, string>>;
}

/** A governed repository of three people and a service that follows it; nothing is deployed anywhere, so that no cluster is needed. */
export class ApprovingOffice {
  #running: RunningService | null = null;

  private constructor(
    readonly root: string,
    private readonly database: string,
    readonly repository: ScratchRepository,
    readonly ann: Person,
    readonly bo: Person,
    readonly cy: Person,
    readonly genesis: string,
    private readonly options: Office,
  ) {}

  static async open(database: string, office: Office): Promise<ApprovingOffice> {
    const root = await mkdtemp(join(tmpdir(), 'countersign-office-'));
    const [ann, bo, cy] = await Promise.all([
      person('Ann', 'ann@example.org'),
      person('Bo', 'bo@example.org'),
      person('Cy', 'cy@example.org'),
    ]);
    const repository = await ScratchRepository.create(join(root, 'repository'));
    const genesis = await repository.commit({
      author: ann,
      message: 'begin',
      files: {
        'countersign.yaml': settings(office.data),
        '.countersign/allowed_signers':
          office.signers?.({ ann, bo, cy }) ?? [ann, bo, cy].map((one) => mayApprove(one)).join(''),
        'environments/production/config.yaml': config(1),
        'environments/staging/config.yaml': config(1),
        ...office.files,
      },
    });
    for (const branch of office.branches ?? []) await repository.git('branch', branch);
    for (const [name, text] of Object.entries(office.beside ?? {})) await writeFile(join(root, name), text);
    const made = new ApprovingOffice(root, database, repository, ann, bo, cy, genesis, office);
    await made.start();
    return made;
  }

  async start(): Promise<void> {
    const file = join(this.root, 'service.yaml');
    const { settings: more, service = '', env = {} } = this.options;
    await writeFile(
      file,
      `listen: 127.0.0.1:0\ndatabase: ${this.database}\nlog: {origin: log.example.org/office}\nrepositories:
  - {name: shop, url: ${this.repository.path}, trust: {commit: ${this.genesis}}, poll: 100ms${more ? `, ${more}` : ''}}\n${service}\n`,
    );
    const loaded = await loadConfig(file, { data: join(this.root, 'data'), env });
    this.#running = await run(loaded, createLogger('fatal', { write: () => {} }));
  }

  async stop(): Promise<void> {
    await this.#running?.close();
    this.#running = null;
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.root, { recursive: true, force: true, maxRetries: 5 });
  }

  get url(): string {
    return this.#running!.url;
  }

  async query<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
    const response = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const answer = (await response.json()) as { data?: T; errors?: readonly unknown[] };
    if (!answer.data || answer.errors?.length) throw new Error(`GraphQL: ${JSON.stringify(answer)}`);
    return answer.data;
  }

  /** Commits by Ann. */
  async change(value: number, more: Partial<Parameters<ScratchRepository['commit']>[0]> = {}): Promise<string> {
    return this.repository.commit({
      author: this.ann,
      message: `say ${value}`,
      ...more,
      files: { 'environments/production/config.yaml': config(value), ...more.files },
    });
  }

  async decisions(environment: string, head: string): Promise<DecisionRow[]> {
    const { decisions } = await this.query<{ decisions: { nodes: DecisionRow[] } }>(
      `query ($environment: String) { decisions(first: 100, filter: {environment: $environment}) { nodes { ${FIELDS} } } }`,
      { environment },
    );
    return decisions.nodes.filter(({ change, index }) => change.head === head && index !== null);
  }

  /** The newest decision on that commit, once it has that outcome. */
  async decided(outcome: string, head: string, environment = PRODUCTION): Promise<DecisionRow> {
    return eventually(
      `${head.slice(0, 7)} of ${environment} to be ${outcome}`,
      async () => {
        const [newest] = await this.decisions(environment, head);
        return newest?.outcome === outcome ? newest : null;
      },
      async () => JSON.stringify(await this.decisions(environment, head)),
      45_000,
    );
  }

  async approvals(): Promise<ApprovalRow[]> {
    const { approvals } = await this.query<{ approvals: { nodes: ApprovalRow[] } }>(
      '{ approvals(first: 100) { nodes { id status reason principal target environment head index } } }',
    );
    return approvals.nodes;
  }

  /** The next approval that is recorded. */
  async recorded(work: () => Promise<unknown>): Promise<ApprovalRow> {
    const before = new Set((await this.approvals()).map(({ id }) => id));
    await work();
    return eventually(
      'an approval to be recorded',
      async () => (await this.approvals()).find(({ id, index }) => !before.has(id) && index !== null),
      undefined,
      20_000,
    );
  }

  /** What `countersign approve` does, of any bytes. */
  async approve(
    who: Person,
    { repository, ref, environment, base, head, tree, renderedDigest, target }: ApprovedBytes,
    more: { readonly tamper?: (statement: ApprovalStatement) => ApprovalStatement; readonly namespace?: string } = {},
  ): Promise<void> {
    const said = target === undefined ? {} : { target };
    const bytes = { repository, ref, environment, base, head, tree, renderedDigest, ...said };
    const statement = { ...bytes, time: new Date().toISOString() };
    const signature = await signWithSsh(who.keyFile, more.namespace ?? APPROVAL_NAMESPACE, approvalText(statement));
    await this.put(more.tamper?.(statement) ?? statement, signature, who);
  }

  /** What `countersign approve --withdraw` does, for whichever key. */
  async withdraw(who: Person, { environment, head }: ApprovedBytes, approval: string): Promise<void> {
    const text = withdrawalText({ repository: 'shop', approval, time: new Date().toISOString() });
    const signature = await signWithSsh(who.keyFile, APPROVAL_NAMESPACE, text);
    const path = withdrawalPath({ environment, head }, approval, who.email);
    await this.#push({ [path]: text, [`${path}.sig`]: signature });
  }

  async put(statement: ApprovalStatement, signature: string, who: Person): Promise<void> {
    const path = approvalPath(statement, who.email);
    await this.#push({ [path]: approvalText(statement), [`${path}.sig`]: signature });
  }

  async #push(files: Readonly<Record<string, string>>): Promise<void> {
    await (await OwnClone.open(this.repository.path)).pushFiles('.', APPROVALS_REF, 'approve', files);
  }
}

export function settings(data: string): string {
  return `apiVersion: countersign.dev/v1
environments:
  - {name: ${PRODUCTION}, path: environments/production, namespace: shop}
  - {name: ${STAGING}, path: environments/staging, namespace: shop}
policies:
  starter: {profile: baseline, data: ${data}}
`;
}

export const config = (value: number): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: "${value}"}\n`;
