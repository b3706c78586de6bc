import type { Command } from 'commander';
import type { LoginClient } from '../adapters/oidc/login.js';
import { print, printable } from './output.js';

interface Options {
  readonly url: string;
  readonly device?: boolean;
  readonly tokenFile?: string;
  readonly forget?: boolean;
}

export function register(program: Command): void {
  program
    .command('login')
    .description('log in to a service, for the other commands that ask it')
    .option('--url <address>', 'where the service answers', 'http://127.0.0.1:4100')
    .option('--device', 'by a code that is entered in a browser on another machine')
    .option('--token-file <file>', 'keep the token in that file (- for standard input) rather than ask an issuer')
    .option('--forget', 'log out: forget what is kept for that service')
    .addHelpText(
      'after',
      `
Example: countersign login --url https://countersign.example.org
         countersign token --login bo --role viewer   # on the service's side, where it has no OpenID Connect
         countersign login --url https://countersign.example.org --token-file -`,
    )
    .action(login);
}

async function login({ url, device, tokenFile, forget }: Options): Promise<void> {
  const address = new URL(url);
  const [{ keep, keptFile }, { ask, jsonOf, reach }] = await Promise.all([
    import('./login/kept.js'),
    import('./ask.js'),
  ]);
  if (forget) {
    await keep(address, null);
    return print(printable(`forgot who you are to ${address.origin}`));
  }
  const got = tokenFile === undefined ? await byIssuer() : { token: await tokenIn(tokenFile), expires: NEVER };
  // What the service does not take is not worth keeping.
  await ask(url, '{ service { version } }', {}, got.token);
  await keep(address, got);
  const until = got.expires === NEVER ? '' : ` until ${got.expires}`;
  await print(printable(`logged in to ${address.origin}${until}, kept in ${keptFile()}`));

  async function byIssuer(): Promise<{ token: string; expires: string }> {
    const { CountersignError } = await import('../errors.js');
    const asked = new URL('/auth', url);
    const response = await reach(asked);
    if (response.status !== 200) {
      throw new CountersignError('not-found', `${address.origin} has no OpenID Connect for people`, {
        remedy: 'Set access.oidc.client.cli there, or take a token: --token-file',
      });
    }
    const where = await jsonOf<LoginClient>(response, asked);
    const flows = await import('../adapters/oidc/login.js');
    return device
      ? flows.loginByDevice(where, (place, code) => tell(`go to ${place} and enter ${code}`))
      : flows.loginByBrowser(where, (place) => {
          tell('open this in a browser on this machine:');
          tell(place);
        });
  }
}

const tell = (text: string): void => void process.stderr.write(`${printable(text)}\n`);

/** Tokens of the service's own end as its configuration says. */
const NEVER = '9999-12-31T00:00:00.000Z';

async function tokenIn(file: string): Promise<string> {
  const [{ readFile }, { text }] = await Promise.all([import('node:fs/promises'), import('node:stream/consumers')]);
  return (file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')).trim();
}
