// A history as a few years of 200 environments leave it, written by PostgreSQL itself: figures need a million of decisions, and judging as
// many takes a day. Rows satisfy what real ones do; ids are as real ones are: those of records in the order of time, those of commits and
// approvals hashes, so that look-ups by them are as scattered.
import type { DataSource } from 'typeorm';
import { Frontier } from '../../src/audit/merkle.js';

export const environments = 200;
/** When the decision `n` of a history was made: one in a minute and a half. */
export const decidedAt = (n: number): string => new Date(Date.UTC(2023, 0, 1) + n * 95_000).toISOString();
/** SQL: in the order of time, as the service makes them (src/review/record-id.ts). */
const timedId = (of: string, n = 'n'): string =>
  `(lpad(to_hex(1672531200000 + ${n}::bigint * 95000), 12, '0') || '7' || substr(md5('${of}' || ${n}), 14))::uuid::text`;
export const decisionId = (n: string): string => timedId('decision', n);

const at = (seconds = 0): string => `timestamptz '2023-01-01Z' + (n * 95 + ${seconds}) * interval '1 second'`;
const id = (of: string, n = 'n'): string => `(md5('${of}' || ${n})::uuid)::text`;
const hex = (of: string, n = 'n'): string => `left(encode(sha256(('${of}' || ${n})::bytea), 'hex'), 40)`;
const digest = (of: string): string => `encode(sha256(('${of}' || n)::bytea), 'hex')`;
// Not in step with what else is chosen by n.
const place = `(n * 37 + n / ${environments} * 3) % ${environments}`;
const stages = `(ARRAY['production','staging','test','dev','eu','us','load','demo','qa','dr'])`;
const repository = `'team-' || (${place}) / 10`;
const environment = `'team-' || (${place}) / 10 || '/' || ${stages}[(${place}) % 10 + 1]`;
const person = (salt: number): string => `'person-' || (n * 31 + ${salt}) % 50 || '@example.org'`;
const outcome = `CASE WHEN n % 1000 = 999 THEN 'error' WHEN n % 10 < 2 THEN 'deny' WHEN n % 10 = 2 THEN 'pending' ELSE 'allow' END`;
const violation = `jsonb_build_object('rule', 'rule.r' || n / 10 % 15, 'kind', 'deny', 'message', 'image "cart:' || n || '" is not pinned by digest', 'severity',
  'high', 'controls', jsonb_build_array('SOC2:CC8.' || n / 10 % 10), 'place', '{"file": "policies/supply-chain/images.rego", "line": 14}'::jsonb, 'object',
  jsonb_build_object('group', 'apps', 'version', 'v1', 'kind', 'Deployment', 'namespace', 'ns-' || ${place}, 'name', 'app-' || n % 100), 'fix', 'use cart@sha256:…')`;
const leaf = (
  kind: string,
): string => `('{"payloadType":"application/vnd.in-toto+json","payload":"' || translate(encode(('{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"c","digest":{"gitCommit":"' ||
  ${hex('commit')} || '"}}],"predicateType":"https://countersign.dev/attestation/${kind}/v1","predicate":{"id":"' || ${id(kind)} || '","repository":"' || ${repository} || '","environment":"' ||
  ${environment} || '","recordedAt":"' || to_char((${at()}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '","inputDigest":"' || ${digest('input')} || '"}}')::bytea, 'base64'), E'\\n', '') ||
  '","signatures":[{"keyid":"' || ${digest('key')} || '","sig":"' || translate(encode(sha512(n::text::bytea), 'base64'), E'\\n', '') || '"}]}')::bytea`;

/** Into an empty, migrated database. Two entries a decision: its push, and itself; the tree over them is a true one. */
export async function fillDecisions(
  dataSource: DataSource,
  count: number,
  told: (line: string) => void = () => undefined,
): Promise<void> {
  // prettier-ignore
  const each = `FROM generate_series(0, ${count - 1}) n`;
  const every = (step: number, from = 0): string => `FROM generate_series(${from}, ${count - 1}, ${step}) n`;
  const approved = `n % 5 <> 1`;
  const self = `(n % 97 = 0 AND ${approved})`;
  const approver = `CASE WHEN ${self} THEN ${person(0)} ELSE ${person(3)} END`;
  const operation = `CASE WHEN n % 200 = 5 THEN 'break_glass' WHEN n % 100 = 7 THEN 'rollback' ELSE 'push' END`;
  const fills: readonly (readonly [string, string])[] = [
    ['log_entry', `SELECT 2 * n, sha256('\\x00'::bytea || leaf), 2 * n, 'push', leaf FROM (SELECT n, ${leaf('push')} AS leaf ${each}) AS l
       UNION ALL SELECT 2 * n + 1, sha256('\\x00'::bytea || leaf), 2 * n + 1, 'decision', leaf FROM (SELECT n, ${leaf('decision')} AS leaf ${each}) AS l`],
    ['repository (name, url, state, governance_ref, updated_at)', `SELECT 'team-' || n, 'file:///srv/git/' || n, 'followed', 'refs/heads/main', now() FROM generate_series(0, ${environments / 10 - 1}) n`],
    ['push (id, repository, ref, kind, old, new, time, log_index)', `SELECT ${timedId('push')}, ${repository}, 'refs/heads/main', 'advanced', ${hex('commit', '(n - 1)')}, ${hex('commit')}, ${at(-2)}, 2 * n ${each}`],
    ['commit', `SELECT ${repository}, ${hex('commit')}, ${hex('tree')}, jsonb_build_array(${hex('commit', '(n - 1)')}),
       jsonb_build_object('name', 'Person ' || (n * 31) % 50, 'email', ${person(0)}, 'time', '2026-01-01T00:00:00+00:00'),
       jsonb_build_object('name', 'Person ' || (n * 31) % 50, 'email', ${person(0)}, 'time', '2026-01-01T00:00:00+00:00'),
       'Run more of the cart ' || n || E'\\n\\nBecause of the sale.\\n\\nTicket: T-' || n / 2 || E'\\n',
       CASE WHEN n % 7 = 0 THEN '{"kind": "none", "status": "none"}'::jsonb ELSE jsonb_build_object('kind', 'ssh', 'status', 'verified', 'principal', ${person(0)}, 'key', 'SHA256:' || left(${digest('k')}, 43)) END,
       jsonb_build_array(jsonb_build_object('path', 'apps/cart-' || n % 100 || '/deployment.yaml', 'op', 'modify', 'mode', '100644')), ${at(-1)} ${each}`],
    ['change', `SELECT ${timedId('change')}, ${repository}, ${environment}, ${operation}, 'refs/heads/main', ${timedId('push')}, ${hex('commit', '(n - 1)')}, ${hex('commit')}, ${hex('tree')},
       jsonb_build_array(${hex('commit')}), 3, ${digest('rendered')}, 0, '[]', ${at()}, 'prod' ${each}`],
    ['object_change', `SELECT ${timedId('change')}, p, 'update', 'apps', 'v1', 'Deployment', 'ns-' || ${place}, 'app-' || (n / ${environments} * 3 + p) % 100, null,
       jsonb_build_object('apiVersion', 'apps/v1', 'kind', 'Deployment', 'metadata', jsonb_build_object('name', 'app-' || (n / ${environments} * 3 + p) % 100), 'spec', jsonb_build_object('replicas', n % 10)),
       jsonb_build_array(jsonb_build_object('op', 'replace', 'path', '/spec/replicas', 'value', n % 10)), 'apps/cart/deployment.yaml', 12 ${each}, generate_series(0, 2) p`],
    ['approval (id, repository, environment, head, principal, key, via, status, change, first_seen, log_index)', `SELECT ${id('approval')}, ${repository}, ${environment}, ${hex('commit')}, ${approver},
       'SHA256:' || left(${digest('k')}, 43), 'git', 'accepted', ${timedId('change')}, ${at(10)}, 0 ${each} WHERE ${approved}`],
    ['decision (id, change, repository, environment, outcome, violations, warnings, required, rules_run, rules_passed, bundle_digest, wasm_digest, input_digest, result_digest, time, milliseconds, log_index, approvals, excepted, exceptions, self_approved, signers, approvers, tickets, teams, controls)',
      `SELECT ${timedId('decision')}, ${timedId('change')}, ${repository}, ${environment}, ${outcome}, CASE WHEN n % 10 < 2 THEN jsonb_build_array(${violation}) ELSE '[]' END, '[]',
       CASE WHEN n % 10 = 2 THEN jsonb_build_array(jsonb_build_object('rule', 'approvals.two', 'message', 'one more approval is needed', 'controls', '["SOC2:CC8.1"]'::jsonb)) ELSE '[]' END,
       15, CASE WHEN n % 10 < 2 THEN 14 ELSE 15 END, encode(sha256((n / 5000)::text::bytea), 'hex'), 'w', ${digest('input')}, ${digest('result')}, ${at()}, 3, 2 * n + 1,
       CASE WHEN ${approved} THEN jsonb_build_array(${id('approval')}) ELSE '[]' END,
       CASE WHEN n % 50 = 4 THEN jsonb_build_array(${violation} || jsonb_build_object('exception', 'exception-' || n % 1000)) ELSE '[]' END,
       CASE WHEN n % 50 = 4 THEN jsonb_build_array('exception-' || n % 1000) ELSE '[]' END, ${self},
       CASE WHEN n % 7 = 0 THEN '[]' ELSE jsonb_build_array(${person(0)}) END, CASE WHEN ${approved} THEN jsonb_build_array(${approver}) ELSE '[]' END,
       jsonb_build_array('T-' || n / 2), jsonb_build_array('@team/t' || (${place}) / 10),
       CASE WHEN n % 10 < 2 THEN jsonb_build_array('SOC2:CC8.' || n / 10 % 10) WHEN n % 10 = 2 THEN '["SOC2:CC8.1"]' ELSE '[]' END ${each}`],
    ['run (id, repository, environment, decision, reason, started_at, started_index, finished_at, finished_index, outcome, planned, results)', `SELECT ${timedId('run')}, ${repository}, ${environment}, ${timedId('decision')}, 'decision', ${at(20)}, 0, ${at(24)}, 0,
       CASE WHEN n % 50 = 13 THEN 'failed' ELSE 'succeeded' END, '[]', '[]' ${each} WHERE n % 10 > 2`],
    ['drift (id, repository, environment, api_group, version, kind, namespace, name, type, fields, attribution, supplements, detected_at, log_index, corrected_at, run)', `SELECT ${timedId('drift')}, ${repository}, ${environment}, 'apps', 'v1', 'Deployment', 'ns-' || ${place}, 'app-' || n / 20 % 100, 'modified',
       '[{"type": "changed", "path": "spec.replicas", "desired": 3, "live": 5}]', jsonb_build_object('strength', 'hint', 'source', 'managedFields', 'manager', (ARRAY['kubectl-edit','helm','argocd'])[n / 20 % 3 + 1]),
       CASE WHEN n / 20 % 4 = 0 THEN jsonb_build_array(jsonb_build_object('strength', 'strong', 'source', 'audit', 'user', jsonb_build_object('name', ${person(0)}))) ELSE '[]' END,
       ${at(50)}, 0, CASE WHEN n / 20 % 40 = 0 THEN null ELSE ${at(51)} END, CASE WHEN n / 20 % 40 = 0 THEN null ELSE ${timedId('run')} END ${every(20)}`],
    ['exception (id, repository, path, rule, scope, owner, reason, ticket, expires, principal, key, status, commit_id, first_seen, counted, log_index)', `SELECT 'exception-' || n, 'team-' || n % 20, '.countersign/exceptions/' || n || '.yaml', 'rule.r' || n % 15,
       jsonb_build_object('environment', 'team-' || n % 20 || '/production', 'kind', 'Deployment'), 'team-' || n % 20, 'the vendor gives no digest yet', 'T-' || n, ${at(0)} + interval '90 days', ${person(2)}, 'SHA256:k', 'accepted', ${hex('commit')}, ${at()},
       jsonb_build_array(jsonb_build_object('from', ${at()}, 'to', null)), 0 FROM generate_series(0, ${count - 1}, ${Math.max(1, Math.floor(count / 1000))}) n`],
    ['review_duty (id, repository, environment, change, head, principal, reason, ticket, opened_at, due_at, closed_at, approval)', `SELECT ${timedId('decision')}, ${repository}, ${environment}, ${timedId('change')}, ${hex('commit')}, ${person(0)}, 'the shop is down', 'OPS-' || n, ${at()}, ${at(259_200)},
       CASE WHEN n / 200 % 10 > 0 THEN ${at(86_400)} END, CASE WHEN n / 200 % 10 > 0 THEN ${id('approval')} END ${every(200, 5)}`],
    ['fault (id, repository, environment, trouble, time, log_index)', `SELECT ${timedId('fault')}, ${repository}, ${environment}, jsonb_build_object('code', (ARRAY['repository-missing','render-failed','target-unreachable'])[n / 100 % 3 + 1], 'message', 'it is away'), ${at(5)}, 0 ${every(100)}`],
    ['advice (id, repository, environment, request, target, base, head, outcome, description, bundle_digest, time, number, ended_at, tree, rendered_digest, author)', `SELECT ${timedId('advice')}, ${repository}, ${environment}, 'refs/pull/' || n || '/head', 'refs/heads/main', ${hex('commit', '(n - 1)')}, ${hex('commit')}, ${outcome}, 'judged', ${digest('b')}, ${at(-60)}, n / 10,
       CASE WHEN n / 10 % 50 > 0 THEN ${at()} END, ${hex('tree')}, ${digest('rendered')}, 'person-' || n % 50 ${every(10, 5)}`],
    ['live_object (repository, environment, api_group, version, kind, namespace, name, target, uid, resource_version, commit_id, decision, path, line, digest, health, health_reason, updated_at)', `SELECT ${repository}, ${environment}, 'apps', 'v1', 'Deployment', 'ns-' || ${place}, 'app-' || j, 'prod', ${id('uid', "(n * 100 + j)")}, '1', ${hex('commit')},
       greatest(0, ${count} - 1 - (n + j * 37) % least(${count}, 40000)) * 2 + 1, 'apps/cart/deployment.yaml', 12, ${digest('d')}, CASE WHEN (n + j) % 50 = 0 THEN 'degraded' ELSE 'healthy' END, '', now() FROM generate_series(0, ${environments - 1}) n, generate_series(0, 99) j`],
    ['environment (repository, name, path, ref, target, namespace, labels, ignore, head, approved, head_decision, head_outcome, approved_decision, no_longer_compliant, status, updated_at)', `SELECT ${repository}, ${environment}, 'environments/' || n, 'refs/heads/main', 'prod', 'ns-' || ${place}, '{"tier": "production"}', '[]', ${hex('commit')}, ${hex('commit')}, ${timedId('decision')}, 'allow', ${timedId('decision')}, false,
       CASE WHEN n % 20 = 0 THEN 'degraded' ELSE 'synced' END, now() FROM generate_series(0, ${environments - 1}) n`],
  ]; // prettier-ignore
  const indexes = await dataSource.query<{ name: string; made: string }[]>(
    `SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
     WHERE relnamespace = 'public'::regnamespace AND NOT indisprimary AND NOT indisunique`,
  );
  const runner = dataSource.createQueryRunner();
  try {
    await runner.query(`SET statement_timeout = 0`);
    await runner.query(`SET maintenance_work_mem = '512MB'`);
    await runner.query(`SET synchronous_commit = off`);
    // An index is made faster than it is kept.
    for (const { name } of indexes) await runner.query(`DROP INDEX ${name}`);
    for (const [table, rows] of fills) {
      await runner.query(`INSERT INTO ${table} ${rows}`);
      told(`filled ${table.split(' ')[0]}`);
    }
    for (const { made } of indexes) await runner.query(made);
    await growTree(dataSource, 2 * count);
    await runner.query('VACUUM ANALYZE');
  } finally {
    await runner.query('RESET ALL');
    await runner.release();
  }
  told(`${indexes.length} indexes made, ${count} decisions are there`);
}

/** The tree over leaf hashes that are there: the roots of its full tiles, and its own. */
async function growTree(dataSource: DataSource, size: number): Promise<void> {
  const frontier = new Frontier();
  for (let from = 0; from < size; from += 65_536) {
    const leaves = await dataSource.query<{ leaf_hash: Buffer }[]>(
      'SELECT leaf_hash FROM log_entry WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
      [from, from + 65_536],
    );
    const tiles: { level: number; number: number; root: Uint8Array }[] = [];
    for (const { leaf_hash } of leaves) {
      frontier.append(leaf_hash, ({ level, index }, root) => {
        if (level > 0 && level % 8 === 0) tiles.push({ level: level / 8 - 1, number: index, root });
      });
    }
    for (const { level, number, root } of tiles)
      await dataSource.query('INSERT INTO log_tile VALUES ($1, $2, $3)', [level, number, Buffer.from(root)]);
  }
  await dataSource.query('UPDATE log_head SET size = $1, root = $2', [size, Buffer.from(frontier.root())]);
  await dataSource.query('UPDATE log_released SET size = $1', [size]);
  await dataSource.query(`SELECT setval('log_outbox_id_seq', $1)`, [size]);
}
