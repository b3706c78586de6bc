import { OwnClone } from '../../adapters/git/approvals-ref.js';
import { CountersignError } from '../../errors.js';
import { APPROVALS_REF } from '../../review/approval.js';
import { withdrawalPath, withdrawalText } from '../../review/withdrawal.js';
import { ask } from '../ask.js';
import { jsonLine, print, printable } from '../output.js';
import { readToken, signAndPush } from './sign.js';

interface Options {
  readonly url: string;
  readonly repository: string;
  readonly remote?: string;
  readonly key?: string;
  readonly openpgp?: string | true;
  readonly tokenFile?: string;
  readonly comment?: string;
  readonly output: 'text' | 'json';
}

interface Standing {
  readonly id: string;
  readonly repository: string;
  readonly environment: string;
  readonly head: string;
  readonly principal: string | null;
}

/** The beginning of an id that nobody mistakes for another. */
const SHORTEST = 8;
const PAGES = 20;

/** Takes back an approval that the service accepted: signed by whoever gave it and pushed, or by login. Throws `not-found`, `usage`. */
export async function withdraw(id: string, options: Options): Promise<void> {
  const { url, comment, output } = options;
  const token = options.tokenFile === undefined ? undefined : await readToken(options.tokenFile);
  const approval = await standing(url, id, token);
  const { environment, head, repository, principal } = approval;
  const what = printable(`${environment} ${head.slice(0, 12)}, given by ${principal ?? 'nobody known'}`);
  if (token !== undefined) {
    const { withdrawApproval } = await ask<{ withdrawApproval: { status: string; reason: string | null } }>(
      url,
      'mutation ($id: ID!) { withdrawApproval(id: $id) { id status reason } }',
      { id: approval.id },
      token,
    );
    return print(output === 'json' ? jsonLine({ ...approval, ...withdrawApproval }) : `withdrawn  ${what}`);
  }
  const clone = await OwnClone.open(options.repository);
  const time = new Date().toISOString();
  const text = withdrawalText({ repository, approval: approval.id, time, ...(comment ? { comment } : {}) });
  const message = `withdraw ${approval.id.slice(0, 12)}`;
  const statement = { text, path: (by: string) => withdrawalPath(approval, approval.id, by), message };
  const { fingerprint, commit, path } = await signAndPush(statement, options, clone);
  if (output === 'json') return print(jsonLine({ ...approval, key: fingerprint, commit, path }));
  await print(`withdrawn  ${what}: signed with ${fingerprint}, pushed to ${APPROVALS_REF}`);
  await print(`It counts for nothing once the service has seen that. What was decided stays decided.`);
}

/** The one that the id begins; the newest are looked through. */
async function standing(url: string, id: string, token?: string): Promise<Standing> {
  const begin = id.toLowerCase();
  if (!/^[0-9a-f]+$/.test(begin) || begin.length < SHORTEST)
    throw new CountersignError(
      'usage',
      `${JSON.stringify(id)} is no id of an approval, nor ${SHORTEST} digits of one`,
      {
        remedy: 'Look with { approvals(filter: {status: [accepted]}) { nodes { id environment head principal } } }',
      },
    );
  const found: Standing[] = [];
  let after: string | null = null;
  for (let page = 0; page < PAGES; page++) {
    const { approvals }: Page = await ask<Page>(url, QUERY, { after }, token);
    found.push(...approvals.nodes.filter((one) => one.id.startsWith(begin)));
    after = approvals.pageInfo.hasNextPage ? approvals.pageInfo.endCursor : null;
    if (after === null) break;
  }
  if (found.length === 1) return found[0];
  if (found.length > 1) throw new CountersignError('usage', `${id} begins the ids of ${found.length} approvals`, { remedy: 'Give more of it' }); // prettier-ignore
  throw new CountersignError('not-found', `no approval ${id} counts at ${url}`, {
    remedy: 'It was withdrawn, or never accepted: { approvals(first: 20) { nodes { id principal status reason } } }',
  });
}

interface Page {
  readonly approvals: {
    readonly nodes: readonly Standing[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

const QUERY = `query ($after: String) { approvals(first: 100, after: $after, filter: {status: [accepted]}) {
  nodes { id repository environment head principal } pageInfo { hasNextPage endCursor } } }`;
