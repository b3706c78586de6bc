import { Option, type Command } from 'commander';
import { print, jsonLine, printable } from './output.js';

interface Options {
  readonly head: string;
  readonly discover?: boolean;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('environments')
    .description('list the environments of a repository; with --discover those that Argo CD and Flux know')
    .argument('[path]', 'a work tree or a bare repository', '.')
    .option('--head <revision>', 'the commit to look at', 'HEAD')
    .option('--discover', 'print a countersign.yaml made of the Applications and Kustomizations in the repository')
    .addOption(new Option('--output <format>', 'how to print them').choices(['text', 'json']).default('text'))
    .action(listEnvironments);
}

async function listEnvironments(path: string, options: Options): Promise<void> {
  const [{ openRepository }, { ManifestCache }, { discover }, { isManifestPath }, { dump }] = await Promise.all([
    import('../adapters/git/open.js'),
    import('../change/manifest-cache.js'),
    import('../change/discovered.js'),
    import('../change/manifest-files.js'),
    import('js-yaml'),
  ]);
  const repository = await openRepository(path);
  try {
    const head = await repository.resolve(options.head);
    const entries = await repository.tree(head, '');
    if (!options.discover) {
      const [{ noSettings, SETTINGS_FILE }, { settingsAt }] = await Promise.all([
        import('../change/environments.js'),
        import('../review/governed-files.js'),
      ]);
      const file = entries.find((entry) => entry.path === SETTINGS_FILE);
      const { environments } = file
        ? await settingsAt(repository, head, (await repository.blob(file.id)).toString())
        : noSettings;
      const tips = await repository.refs([...new Set(environments.map(({ ref }) => ref))]);
      for (const environment of environments) {
        const commit = tips.get(environment.ref) ?? null;
        const line = `${environment.name}  ${environment.path || '.'}  ${environment.ref}  ${commit?.slice(0, 12) ?? 'no such branch here'}`;
        await print(options.output === 'json' ? jsonLine({ ...environment, commit }) : printable(line));
      }
      return;
    }
    const cache = new ManifestCache();
    const objects = [];
    for (const entry of entries) {
      if (entry.type !== 'blob' || entry.mode === '120000' || !isManifestPath(entry.path)) continue;
      objects.push(...(await cache.read(repository, entry)).objects);
    }
    const folders = new Set(['']);
    for (const entry of entries) {
      for (let end = entry.path.lastIndexOf('/'); end > 0; end = entry.path.lastIndexOf('/', end - 1)) folders.add(entry.path.slice(0, end)); // prettier-ignore
    }
    const { environments, problems } = discover(objects, folders);
    if (options.output === 'json') {
      await print(jsonLine({ environments, problems: problems.map(({ message, place }) => ({ message, place })) }));
    } else {
      const named = environments.map((environment) => ({ ...environment, path: environment.path || '.' }));
      await print(dump({ apiVersion: 'countersign.dev/v1', environments: named }, { lineWidth: 120 }).trimEnd());
      for (const problem of problems) console.error(printable(problem.sentence));
    }
    if (problems.length > 0) process.exitCode = 1;
  } finally {
    await repository.close();
  }
}
