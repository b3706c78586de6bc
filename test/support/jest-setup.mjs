// What all test files of a run share is begun here, in the process that outlives them.
import './typescript.js';

export default async function setup() {
  const { sharePostgres } = await import('./postgres.ts');
  globalThis.countersignTeardown = await sharePostgres();
}
