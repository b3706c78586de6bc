import type { Command } from 'commander';
import type { Environment } from '../change/environment.js';
import type { GateState } from '../review/records.js';
import type { Repository } from '../source/repository.js';
import { type Column, jsonLine, Listing, type Output, outputOption, print, printable } from './output.js';

interface Options {
  readonly head: string;
  readonly discover?: boolean;
  readonly url?: string;
  readonly output: Output;
}

export function register(program: Command): void {
  program
    .command('environments')
    .description('list the environments of a repository; with --discover those that Argo CD and Flux know')
    .argument('[path]', 'a work tree or a bare repository', '.')
    .option('--head <revision>', 'the commit to look at', 'HEAD')
    .option('--discover', 'print a countersign.yaml made of the Applications and Kustomizations in the repository')
    .option('--url <address>', 'ask that service how its environments are, instead')
    .addOption(outputOption('text', 'json', 'csv', 'yaml'))
    .action(listEnvironments);
}

type AskedGate = Pick<GateState, 'ref' | 'commit' | 'unheard' | 'peers'>;

interface Asked {
  readonly repository: string;
  readonly name: string;
  readonly status: string;
  readonly approved: string | null;
  readonly head: string | null;
  readonly headOutcome: string | null;
  readonly trouble: { readonly message: string; readonly remedy: string | null } | null;
  readonly return: { readonly from: string; readonly to: string | null; readonly reason: string } | null;
  readonly gate: AskedGate | null;
}

interface Answer {
  readonly environments: {
    readonly nodes: readonly Asked[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

const QUERY = `query ($after: String) { environments(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes {
  repository name status approved head headOutcome healthy trouble { code message remedy }
  return { from to reason refusal time index }
  gate { ref commit unheard peers { tool kind namespace name revision sync health message } } } } }`;

const short = (commit: string | null): string => commit?.slice(0, 12) ?? 'nothing';

/** The ref that others follow, and their word. */
function linesOf({ ref, commit, unheard, peers }: AskedGate): string[] {
  return [
    `${ref} at ${commit === null ? 'no commit yet' : short(commit)}`,
    ...peers.map(({ tool, kind, namespace, name, revision, sync, health, message }) => {
      const at = revision === null ? '' : ` at ${short(revision)}`;
      return `${tool} says: ${kind} ${namespace}/${name} ${sync.replaceAll('_', ' ')}${at}, ${health}${message ? `: ${message}` : ''}`;
    }),
    ...(unheard === null ? [] : [`what follows it is not heard: ${unheard}`]),
  ];
}

const ASKED_COLUMNS: readonly Column<Asked>[] = [
  { name: 'repository', value: ({ repository }) => repository },
  { name: 'environment', value: ({ name }) => name },
  { name: 'status', value: ({ status }) => status },
  { name: 'approved', value: ({ approved }) => approved, text: ({ approved }) => short(approved) },
  {
    name: 'head',
    value: ({ head }) => head,
    text: ({ head, approved, headOutcome }) =>
      head === approved ? '' : `${short(head)} ${headOutcome ?? 'not judged'}`,
  },
];

function notesOf({ approved, trouble, gate, return: back }: Asked): readonly string[] {
  return [
    ...(gate ? linesOf(gate) : []),
    ...(back?.to && back.to === approved ? [`went back from ${short(back.from)} by itself: ${back.reason}`] : []),
    ...(trouble ? [`${trouble.message}${trouble.remedy ? `. ${trouble.remedy}` : ''}`] : []),
  ];
}

/** How all that a service follows is now. */
async function askEnvironments(url: string, output: Output): Promise<void> {
  const { ask } = await import('./ask.js');
  const listing = new Listing(ASKED_COLUMNS, { output, record: (one) => one, notes: notesOf });
  for (let after: string | null = null; ;) {
    const { environments }: Answer = await ask<Answer>(url, QUERY, { after });
    for (const one of environments.nodes) await listing.add(one);
    if (!environments.pageInfo.hasNextPage) return listing.end();
    after = environments.pageInfo.endCursor;
  }
}

const COLUMNS: readonly Column<Environment & { readonly commit: string | null }>[] = [
  { name: 'environment', value: ({ name }) => name },
  { name: 'path', value: ({ path }) => path || '.' },
  { name: 'ref', value: ({ ref }) => ref },
  { name: 'target', value: ({ target }) => target },
  {
    name: 'commit',
    value: ({ commit }) => commit,
    text: ({ commit }) => commit?.slice(0, 12) ?? 'no such branch here',
  },
];

async function listEnvironments(path: string, options: Options): Promise<void> {
  if (options.url !== undefined) return askEnvironments(options.url, options.output);
  const { openRepository } = await import('../adapters/git/open.js');
  const repository = await openRepository(path);
  try {
    const head = await repository.resolve(options.head);
    await (options.discover ? discoverEnvironments : writtenEnvironments)(repository, head, options.output);
  } finally {
    await repository.close();
  }
}

/** Those of countersign.yaml. */
async function writtenEnvironments(repository: Repository, head: string, output: Output): Promise<void> {
  const [{ noSettings, SETTINGS_FILE }, { settingsAt }] = await Promise.all([
    import('../change/environments.js'),
    import('../review/governed-files.js'),
  ]);
  const file = (await repository.tree(head, '')).find((entry) => entry.path === SETTINGS_FILE);
  const { environments } = file
    ? await settingsAt(repository, head, (await repository.blob(file.id)).toString())
    : noSettings;
  const tips = await repository.refs([...new Set(environments.map(({ ref }) => ref))]);
  const listing = new Listing(COLUMNS, { output, record: (one) => one });
  for (const one of environments) await listing.add({ ...one, commit: tips.get(one.ref) ?? null });
  await listing.end(file ? 'none' : `none: ${head.slice(0, 12)} has no ${SETTINGS_FILE}; --discover makes one of what Argo CD and Flux know`); // prettier-ignore
}

async function discoverEnvironments(repository: Repository, head: string, output: Output): Promise<void> {
  const [{ ManifestCache }, { discover, seemsToDefine }, { isManifestPath }, { dump }] = await Promise.all([
    import('../change/manifest-cache.js'),
    import('../change/discovered.js'),
    import('../change/manifest-files.js'),
    import('js-yaml'),
  ]);
  const entries = await repository.tree(head, '');
  const cache = new ManifestCache();
  const objects = [];
  const unread = [];
  for (const entry of entries) {
    if (entry.type !== 'blob' || entry.mode === '120000' || !isManifestPath(entry.path)) continue;
    const read = await cache.read(repository, entry);
    objects.push(...read.objects);
    if (read.problems.length === 0) continue;
    const tooLarge = read.problems.some(({ code }) => code === 'manifest-too-large');
    if (tooLarge || seemsToDefine((await repository.blob(entry.id)).toString('latin1'))) unread.push(...read.problems);
  }
  const folders = new Set(['']);
  for (const { path } of entries) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) folders.add(path.slice(0, end)); // prettier-ignore
  }
  const discovered = discover(objects, folders);
  const { environments } = discovered;
  const problems = [...unread, ...discovered.problems];
  if (output === 'json') {
    await print(jsonLine({ environments, problems: problems.map(({ message, place }) => ({ message, place })) }));
  } else {
    const named = environments.map((environment) => ({ ...environment, path: environment.path || '.' }));
    await print(dump({ apiVersion: 'countersign.dev/v1', environments: named }, { lineWidth: 120 }).trimEnd());
    for (const problem of problems) console.error(printable(problem.sentence));
  }
  if (problems.length > 0) process.exitCode = 1;
}
