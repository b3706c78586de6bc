import { CountersignError } from '../errors.js';
import { type Action, type Authority, mayDo, reachOf, refusal } from '../review/authority.js';

/**
 * What it takes: `rows` gives what is in reach and nothing else, so that having the action anywhere is enough to ask; `everywhere` is of
 * the service as a whole; `anywhere` says nothing of any repository; `named` checks what the arguments name, where it is done.
 */
export interface Permission {
  readonly action: Action;
  readonly of: 'rows' | 'everywhere' | 'anywhere' | 'named';
}

const read = { action: 'read', of: 'rows' } as const;
const whole = { action: 'read', of: 'everywhere' } as const;
const audit = { action: 'audit', of: 'anywhere' } as const;
const named = { action: 'read', of: 'named' } as const;
const approve = { action: 'approve', of: 'named' } as const;

/**
 * Who may ask for which field: the one table. Each field of Query, Mutation and Subscription is in it, or nobody may ask for it;
 * fields of other types are there where they take more than seeing what they belong to.
 */
export const fields: Readonly<Record<string, Permission>> = {
  'Query.service': { action: 'read', of: 'anywhere' },
  // They name repositories and targets.
  'Service.reasons': whole,
  'Query.targets': whole,
  'Query.instances': whole,
  // Of namespaces that several share, and of what nobody governs.
  'Query.orphans': whole,
  'Query.log': { action: 'read', of: 'anywhere' },
  // Leaves name repositories, environments and commits; whoever may see a row may see the entry that it names.
  'Query.entry': audit,
  'Query.entries': audit,
  'Query.repositories': read,
  'Query.repository': read,
  'Query.environments': read,
  'Query.environment': read,
  'Query.pushes': read,
  'Query.commits': read,
  'Query.commit': read,
  'Query.changes': read,
  'Query.change': read,
  'Query.decisions': read,
  'Query.decision': read,
  'Decision.explanations': { action: 'explain', of: 'named' },
  'Query.decisionCounts': read,
  'Query.driftCounts': read,
  'Query.delivery': named,
  'Query.pastState': named,
  'Query.holdings': read,
  'Query.controls': read,
  'Query.promotion': { action: 'explain', of: 'named' },
  'Query.objects': read,
  'Query.blame': read,
  'Query.accessList': { action: 'access', of: 'everywhere' },
  'Query.runs': read,
  'Query.run': read,
  'Query.drift': read,
  'Query.faults': read,
  'Query.approvals': read,
  'Query.advice': read,
  'Query.exceptions': read,
  'Query.policyImpact': { action: 'explain', of: 'named' },
  'Query.reviewDuties': read,
  'Subscription.decisionRecorded': read,
  'Subscription.runChanged': read,
  'Subscription.driftFound': read,
  'Subscription.environmentChanged': read,
  'Mutation.approve': approve,
  'Mutation.withdrawApproval': approve,
  'Query.sessions': { action: 'access', of: 'everywhere' },
  'Mutation.endSessions': { action: 'administer', of: 'everywhere' },
};

/** `own`: asks for proof of its own, or tells nothing. */
export type RoutePermission = Permission | 'own';

/** The same for addresses, by method and route; HEAD is as GET. One that is not here is answered to nobody. */
export const routes: Readonly<Record<string, RoutePermission>> = {
  'GET /healthz': 'own',
  // A page that knows nothing and can send nothing.
  'GET /verify': 'own',
  // Reasons only for whoever may see them.
  'GET /readyz': 'own',
  // Where to log in.
  'GET /auth': 'own',
  // Who somebody is, or nobody; and where a browser signs in and out, which its own secrets prove.
  'GET /': 'own',
  'GET /session': 'own',
  'GET /login': 'own',
  'GET /login/callback': 'own',
  'POST /logout': 'own',
  'GET /metrics': { action: 'operate', of: 'everywhere' },
  // Each field is checked for itself.
  'POST /graphql': { action: 'read', of: 'anywhere' },
  'GET /graphql': { action: 'read', of: 'anywhere' },
  'GET /log/checkpoint': audit,
  'GET /log/tile/*': audit,
  'GET /reports/changes.:format': { action: 'export', of: 'named' },
  'GET /reports/management.:format': { action: 'export', of: 'named' },
  // All leaves, as `audit` gives them, and no bodies but those within reach.
  'GET /reports/evidence.:format': { action: 'export', of: 'anywhere' },
  'GET /reports/vsa.:format': { action: 'export', of: 'named' },
  'GET /reports/oscal.:format': { action: 'export', of: 'named' },
  // Signed by the forge.
  'POST /webhook/:forge/:repository': 'own',
  // With the target's own token.
  'POST /audit/:target': 'own',
};

/** Whether somebody may ask at all; `rows` and `named` are limited where it is done. Throws `unauthenticated`, `forbidden`. */
export function requirePermission(authority: Authority | null, { action, of }: Permission): void {
  const reach = authority && reachOf(authority, action);
  if (reach && (of !== 'everywhere' || reach.everywhere)) return;
  if (!authority || authority.anonymous) {
    throw new CountersignError('unauthenticated', 'this takes a token', {
      remedy: 'Send one: Authorization: Bearer cs_…',
    });
  }
  if (reach) throw refusal(authority.token, 'is not for all repositories and environments, and this is');
  throw refusal(authority.token, `is for another role: this takes ${mayDo[action].join(' or ')}`);
}

/** Whether somebody may ask for all of these, named as `Type.field`. Throws `unauthenticated`, `forbidden`. */
export function requireFieldsOf(authority: Authority | null, asked: Iterable<string>): void {
  for (const name of asked) {
    const permission = fields[name];
    if (permission) requirePermission(authority, permission);
    else if (/^(Query|Mutation|Subscription)\.(?!__)/.test(name)) throw closed(name);
  }
}

/** Throws `forbidden` for an address that is in no table. */
export function permissionOfRoute(method: string, route: string): RoutePermission {
  const permission = routes[`${method === 'HEAD' ? 'GET' : method} ${route}`];
  if (permission) return permission;
  throw closed(`${method} ${route}`);
}

const closed = (name: string): CountersignError =>
  new CountersignError('forbidden', `nothing says who may ask for ${name}, so nobody may`, {
    remedy: 'Add it to src/api/permissions.ts',
  });
