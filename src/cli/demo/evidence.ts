import { rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { count } from './decisions.js';
import { expectThat } from './failure.js';
import { runCountersign } from './program.js';
import { readEntryCounts, readLog } from './reads.js';
import { flipByteOf, readZip, writeZip } from './tamper.js';
import { SECRET_VALUE } from './team-files.js';
import type { World } from './world.js';

// Chapters about the log: what is in it, and what an auditor can do with a copy of it, without us.

/** Exports the log while the service runs, and checks it with nothing but that file and the log's key. */
export async function exportAndVerify(world: World): Promise<void> {
  const { narrator, workspace } = world;
  const [log, counts] = [await readLog(world), await readEntryCounts(world)];
  narrator.line({
    mark: 'fact',
    word: 'log',
    text: `${count(log.size, 'entry').replace('entrys', 'entries')}, signed by ${log.origin}, root ${log.rootHash.slice(0, 12)}…`,
    below: [[...counts].map(([type, n]) => `${n} ${type}`).join(', ')],
    values: { size: log.size, counts: Object.fromEntries(counts) },
  });

  const keys = await cli(world, ['keys', '--data', workspace.data, '--vkey']);
  expectThat(keys.code === 0, `keys ended with exit code ${keys.code}: ${keys.stderr}`);
  expectThat(keys.stdout.trim() === log.vkey, 'the data folder and GraphQL name different keys');
  await writeFile(workspace.trust, keys.stdout);

  await rm(workspace.evidence, { force: true });
  const exported = await cli(world, [
    'export',
    '--data',
    workspace.data,
    '--format',
    'bundle',
    '--to',
    workspace.evidence,
  ]);
  expectThat(
    exported.code === 0,
    `export ended with exit code ${exported.code}: ${exported.stderr || exported.stdout}`,
  );
  const files = await readZip(workspace.evidence);
  const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  narrator.line({
    mark: 'fact',
    word: 'exported',
    text: `${basename(workspace.evidence)}: ${count(files.length, 'file')}, ${Math.round(size / 1024).toLocaleString('en')} KiB unpacked, in ${exported.milliseconds} ms, the service running on`,
  });

  // Invariant 10: the shop's only Secret is in Git and in the cluster, and nowhere in what we keep.
  const leaks = files.filter(({ bytes }) => secretForms.some((form) => bytes.includes(form)));
  expectThat(leaks.length === 0, `the Secret's value is in ${leaks.map(({ name }) => name).join(', ')}`);
  narrator.line({
    mark: 'fact',
    word: 'searched',
    text: `the value of Secret payment-gateway is in ${leaks.length} of these ${files.length} files`,
  });

  await verify(world, workspace.evidence, 0);
  narrator.line({
    mark: 'yes',
    word: 'valid',
    text: 'exit code 0; the check needed these three files and nothing else',
  });
}

/** Changes one byte in a copy; the check names what is wrong. */
export async function tamperWithCopy(world: World): Promise<void> {
  const { narrator, workspace } = world;
  const { entries } = await world.graphql.query<{
    entries: { nodes: { index: number; envelope: string; predicate: { outcome?: string } }[] };
  }>('{ entries(first: 200, filter: { type: [decision] }) { nodes { index envelope predicate } } }');
  const denied = entries.nodes.find(({ predicate }) => predicate.outcome === 'deny');
  expectThat(denied !== undefined, 'no denied decision is in the log');
  const { files, flip } = flipByteOf(
    await readZip(workspace.evidence),
    Buffer.from(denied.envelope, 'base64'),
    '"deny"',
  );
  await writeZip(workspace.tampered, files);
  const { predicate } = flip.payload as { predicate?: { outcome?: string } };
  narrator.line({
    mark: 'no',
    word: 'tampered',
    text: `${basename(workspace.tampered)}: byte ${flip.offset} of ${flip.file}, "${String.fromCharCode(flip.before)}" → "${String.fromCharCode(flip.after)}"`,
    below: [
      `entry ${denied.index} said outcome "${denied.predicate.outcome}", in the copy it says "${predicate?.outcome}"`,
    ],
    values: { index: denied.index, ...flip },
  });
  const output = await verify(world, workspace.tampered, 1);
  expectThat(
    new RegExp(`\\b(entry|leaf|entries)\\b.*\\b${denied.index}\\b`, 'i').test(output),
    `it does not name entry ${denied.index}`,
  );
  narrator.line({ mark: 'no', word: 'refused', text: `exit code 1: the copy is not what the log signed` });
}

async function verify(world: World, file: string, expected: 0 | 1): Promise<string> {
  const { workspace, narrator } = world;
  narrator.waiting('countersign verify');
  const options = ['--trust', workspace.trust, '--checkpoint', workspace.checkpoint];
  const { code, stdout, stderr } = await cli(world, ['verify', file, ...options]);
  narrator.quote(
    `countersign verify ${basename(file)} ${options.map((option) => basename(option)).join(' ')}`,
    stdout || stderr,
  );
  expectThat(code === expected, `verify ended with exit code ${code}, not ${expected}\n${stderr}`);
  return stdout + stderr;
}

const cli = (world: World, args: readonly string[]): ReturnType<typeof runCountersign> =>
  runCountersign(args, world.workspace.root);

const secretForms = [SECRET_VALUE, Buffer.from(SECRET_VALUE).toString('base64').replace(/=+$/, '')].map((text) =>
  Buffer.from(text),
);
