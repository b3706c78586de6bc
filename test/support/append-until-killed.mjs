// Appends to the log of a data folder, in its embedded database or the one at the URL, until it is killed, and says what was acknowledged:
// `index leafHash id`, a line each.
import { writeSync } from 'node:fs';
const from = (path) => import(new URL(`../../dist/${path}`, import.meta.url));
const [{ openDatabase }, { openKeys }, { openLedger }] = await Promise.all([
  from('adapters/postgres/connect.js'),
  from('adapters/keys/file.js'),
  from('adapters/postgres/ledger.js'),
]);
const [data, run, url] = process.argv.slice(2);
const dataSource = await openDatabase(url === undefined ? { data } : { url });
await dataSource.query('CREATE TABLE IF NOT EXISTS receipt (id text PRIMARY KEY)');
const ledger = await openLedger({ dataSource, keys: await openKeys({ data }), dataDir: data });
/** Synchronous: what is acknowledged is out before anything else happens. A full pipe is waited for; a short line goes out whole. */
function say(line) {
  for (;;) {
    try {
      return writeSync(1, `${line}\n`);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

say('ready');
let n = 0;
async function caller() {
  for (;;) {
    const id = `${run}-${(n += 1)}`;
    const draft = { type: 'push', subjects: [], predicate: { id } };
    const { entries } = await ledger.record(async (transaction) => {
      await transaction.handle.query('INSERT INTO receipt VALUES ($1)', [id]);
      transaction.append(draft);
    });
    say(`${entries[0].index} ${entries[0].leafHash} ${id}`);
  }
}
/** Entries with no rows beside them, which are not staged first. */
async function directCaller() {
  for (;;) {
    const id = `${run}-direct-${(n += 1)}`;
    const [{ index, leafHash }] = await ledger.append({ type: 'push', subjects: [], predicate: { id } });
    say(`${index} ${leafHash} ${id}`);
  }
}
await Promise.all([...Array.from({ length: 6 }, caller), ...Array.from({ length: 6 }, directCaller)]);
