// The listing of changes for auditors as CSV, all columns, from the embedded PostgreSQL: rows a second (to be 20,000) and memory (below
// 300 MiB). Each decision has a change, a commit, three objects, an approval and a run. Usage: node test/bench/report.bench.ts [rows]
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as ConnectModule from '../../src/adapters/postgres/connect.js';
import type * as PopulationsModule from '../../src/adapters/postgres/populations.js';
import type * as WriteModule from '../../src/report/write-population.js';

const built = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}.js`, import.meta.url).href);
const { openDatabase } = (await built('adapters/postgres/connect')) as typeof ConnectModule;
const { PostgresPopulations } = (await built('adapters/postgres/populations')) as typeof PopulationsModule;
const { writePopulation } = (await built('report/write-population')) as typeof WriteModule;

const ROWS = Number(process.argv[2] ?? 200_000);
const root = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
await chmod(root, 0o711);
const dataSource = await openDatabase({ data: join(root, 'data') });
const hex = `lpad(to_hex(n), 40, '0')`;
const at = `timestamptz '2026-01-01' + n * interval '1 minute'`;
const each = `FROM generate_series(0, ${ROWS - 1}) n`;
const person = `'{"name": "Ann Example", "email": "ann@example.org", "time": "2026-01-01T00:00:00+00:00"}'`;
const signature = `'{"kind": "ssh", "status": "verified", "principal": "ann@example.org", "key": "SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"}'`;
const message = `'Run more of the cart ' || n || E'\\n\\nBecause of the sale.\\n\\nTicket: SHOP-' || n || E'\\n'`;
const violations = `CASE WHEN n % 3 = 0 THEN '[{"rule": "images.pinned", "message": "cart is not pinned"}]'::jsonb ELSE '[]' END`;
for (const text of [
  `INSERT INTO log_entry (log_index, leaf_hash, outbox_id, type, leaf)
     SELECT n, sha256(n::text::bytea), n, 'decision', '{}'::bytea ${each}`,
  `UPDATE log_head SET size = ${ROWS}`,
  `UPDATE log_released SET size = ${ROWS}`,
  `INSERT INTO change SELECT 'change-' || n, 'shop', 'shop/production', 'push', 'refs/heads/main', 'push-' || n, ${hex}, ${hex}, ${hex},
     jsonb_build_array(${hex}), 3, 'digest', 0, '[]', ${at} ${each}`,
  `INSERT INTO commit SELECT 'shop', ${hex}, ${hex}, '[]', ${person}, ${person}, ${message}, ${signature}, '[{"path": "a"}]', ${at} ${each}`,
  `INSERT INTO object_change SELECT 'change-' || n, p, 'update', 'apps', 'v1', 'Deployment', 'shop', 'cart-' || p, null, null, '[]', 'a.yaml', 1
     ${each}, generate_series(0, 2) p`,
  `INSERT INTO approval (id, repository, environment, head, principal, key, via, status, first_seen)
     SELECT 'approval-' || n, 'shop', 'shop/production', ${hex}, 'bo@example.org', 'SHA256:key', 'git', 'accepted', ${at} ${each}`,
  `INSERT INTO run (id, repository, environment, decision, reason, started_at, finished_at, outcome, planned)
     SELECT 'run-' || n, 'shop', 'shop/production', 'decision-' || n, 'decision', ${at}, ${at}, 'succeeded', '[]' ${each}`,
  `INSERT INTO decision (id, change, repository, environment, outcome, violations, warnings, required, rules_run, rules_passed, bundle_digest,
     wasm_digest, input_digest, result_digest, time, milliseconds, log_index, approvals)
     SELECT 'decision-' || n, 'change-' || n, 'shop', 'shop/production', CASE WHEN n % 3 = 0 THEN 'deny' ELSE 'allow' END, ${violations}, '[]',
     '[]', 8, 8, 'b', 'w', 'i', 'r', ${at}, 3, n, jsonb_build_array('approval-' || n) ${each}`,
  `INSERT INTO environment (repository, name, path, ref, labels, ignore, no_longer_compliant, status, updated_at)
     VALUES ('shop', 'shop/production', '', 'refs/heads/main', '{}', '[]', false, 'synced', now())`,
  'ANALYZE',
])
  await dataSource.query(text);

// The bundle of these decisions has no content: what the log says of it is not what is measured here.
const policy = `'{"payloadType":"application/vnd.in-toto+json","payload":"' || encode('{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://countersign.dev/attestation/decision/v1","predicate":{"recordedAt":"2026-01-01T00:00:00.000Z"}}'::bytea, 'base64') || '","signatures":[{"keyid":"k","sig":"AAAA"}]}'`;
await dataSource.query(`UPDATE log_entry SET leaf = replace(${policy}, E'\\n', '')::bytea WHERE log_index = 0`);

let most = 0;
const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
const population = await new PostgresPopulations(dataSource).open({ repository: 'shop', environment: null, outcome: null, since: '2025-01-01T00:00:00Z', until: null }); // prettier-ignore
const start = performance.now();
const cpu = process.cpuUsage();
let bytes = 0;
for await (const text of writePopulation(population, 'csv')) bytes += Buffer.byteLength(text);
const seconds = (performance.now() - start) / 1000;
const used = process.cpuUsage(cpu);
clearInterval(watch);
await population.close();
console.log(`${population.rows} rows, ${(bytes / 2 ** 20).toFixed(0)} MiB of CSV in ${seconds.toFixed(1)} s: ${Math.round(population.rows / seconds)} rows/s (wanted 20,000)`); // prettier-ignore
console.log(`${((used.user + used.system) / 1e6).toFixed(1)} s of CPU in this process, most memory ${Math.round(most / 2 ** 20)} MiB (wanted below 300)`); // prettier-ignore
await dataSource.destroy();
await rm(root, { recursive: true, force: true });
