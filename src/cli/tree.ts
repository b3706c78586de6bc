import { existsSync, readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addExamples } from './examples.js';

/** Every command, in the order of the help. Only the one that is asked for is loaded. */
const COMMANDS: Readonly<Record<string, string>> = {
  check: 'judge a change, or a folder, before it is merged',
  hook: 'judge a push inside a Git server, as its pre-receive or update hook',
  history: 'judge every commit of a repository',
  commits: 'list the commits of a repository with their signers and files',
  environments: 'list the environments of a repository, or find them in Argo CD and Flux objects',
  promote: 'show what promoting one environment to another would change',
  approve: 'approve a change that waits, with your SSH key',
  login: 'log in to a service, for the other commands that ask it',
  token: 'make a token that a service takes',
  sessions: 'list who is signed in with a browser, or sign somebody out',
  access: 'list who may what at a service, now or at an earlier date',
  exception: 'ask for, sign and list exceptions from rules',
  rollback: 'hold an environment at an earlier commit, as a change that policy sees',
  'roll-forward': 'let an environment go on after a rollback or a pin',
  pin: 'hold an environment at a commit',
  suspend: 'write nothing to an environment for now',
  resume: 'lift what holds an environment',
  blame: 'say who set each field of a live object',
  orphans: 'list what is in governed namespaces that no commit explains',
  explain: 'say why a recorded decision came out as it did',
  serve: 'follow repositories, judge, record and apply',
  rebuild: 'bring a cluster that was lost back to what is approved',
  admission: 'print what makes an API server ask the service before it writes',
  keys: 'show or make the keys of a data folder',
  report: 'take listings for auditors from a running service',
  export: 'write the log of a data folder to a file or folder',
  verify: 'check exported evidence, offline',
  replay: 'judge past decisions again, and tell which differ',
  fsck: 'derive every tile and index from the entries again, and compare',
  log: 'bring back a log that lost entries, or open one that follows it',
  gc: 'remove contents that no entry names',
  'legal-hold': 'keep contents from being removed, by retention or by an erasure',
  erase: 'take a person out of what the log names, as two people have signed',
  witness: 'sign that logs only grow, for others to rely on',
  policy: 'list, test and explain rules',
  completion: 'print what completes commands in bash, zsh or fish',
  demo: 'the whole story on a real repository, a real log and a real Kubernetes API server',
};

interface CommandModule {
  readonly register: (program: Command) => void | Promise<void>;
}

const compiled = import.meta.url.endsWith('.js');
const fileOf = (name: string): URL => new URL(`./${name}.${compiled ? 'js' : 'ts'}`, import.meta.url);

/** The program with one command whole and of the others no more than what they are for; with all of them whole for `null`. */
export async function commandTree(asked: string | undefined | null): Promise<Command> {
  const program = new Command('countersign')
    .description('The compliance layer that GitOps lacks.')
    .version(version(), '-v, --version')
    .exitOverride()
    .showHelpAfterError('(countersign help COMMAND shows how it is used)')
    .addHelpText('after', AFTER);
  for (const [name, summary] of Object.entries(COMMANDS)) {
    if (!existsSync(fileOf(name))) continue;
    if (name === asked || asked === null) {
      await ((await import(fileOf(name).href)) as CommandModule).register(program);
    } else program.command(name).description(summary);
  }
  takeToken(program);
  addExamples(program);
  return program;
}

const AFTER = `
Exit codes: 0 allowed or valid, 1 denied, pending or invalid, 2 could not tell.
Colour is for terminals, and not where NO_COLOR is set. countersign help COMMAND has examples; docs/cli.md has all of it.`;

/** Whatever asks a service says who asks. */
function takeToken(command: Command): void {
  for (const below of command.commands) takeToken(below);
  if (!command.options.some(({ long }) => long === '--url')) return;
  command
    .option(
      '--token <token>',
      'who you are to it; better COUNTERSIGN_TOKEN or countersign login, which others do not see',
    )
    .hook('preAction', async () => (await import('./ask.js')).useToken(command.opts<{ token?: string }>().token));
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
