import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Role, roles } from '../review/authority.js';
import { newToken, tokenDigest } from '../review/token.js';
import { jsonLine, print, outputOption } from './output.js';

interface Options {
  readonly login: string;
  readonly name?: string;
  readonly role: Role;
  readonly repository: string[];
  readonly environment: string[];
  readonly expires: number;
  readonly output: 'text' | 'json';
}

const DAY = 86_400_000;

export function register(program: Command): void {
  program
    .command('token')
    .description('make a token for somebody or for a program, and the line of service.yaml that knows it')
    .requiredOption('--login <login>', 'who it is for, as logins: of the identity map has it')
    .option('--name <name>', 'what the token is called; by default the login and the day')
    .addOption(new Option('--role <role>', 'what its owner may do').choices([...roles]).default('approver'))
    .option('--repository <glob>', 'for which repositories; may be repeated; by default all', collect, [])
    .option('--environment <glob>', 'for which environments; may be repeated; by default all', collect, [])
    .option('--expires <days>', 'after how many days it counts no more, 1 to 366', days, 90)
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nThe token is shown once; only its SHA-256 is kept, in service.yaml. Taking the line out revokes it at the next start.',
    )
    .action(make);
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function days(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 366) return Number(text);
  throw new InvalidArgumentError('It must be a number of days from 1 to 366.');
}

async function make(options: Options): Promise<void> {
  const { login, output } = options;
  const token = newToken();
  const now = new Date();
  const slug =
    login
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'token';
  const line = {
    name: options.name ?? `${slug}-${now.toISOString().slice(0, 10)}`,
    login,
    role: options.role,
    sha256: tokenDigest(token),
    repositories: options.repository.length > 0 ? options.repository : ['*'],
    environments: options.environment.length > 0 ? options.environment : ['*'],
    expires: new Date(now.getTime() + options.expires * DAY).toISOString(),
  };
  if (output === 'json') return print(jsonLine({ token, ...line }));
  await print(`${token}\n`);
  await print('Give it to its owner, who keeps it as a password; it is not shown again. In service.yaml:\n');
  // JSON is YAML, and quotes what needs it.
  await print(`access:\n  tokens:\n    - ${JSON.stringify(line)}`);
}
