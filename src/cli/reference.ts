import type { Command, Option } from 'commander';
import { helpOf, pathOf } from './examples.js';

const commands = (command: Command): Command[] => [command, ...command.commands.flatMap(commands)];

/** docs/cli.md: every command as its own help has it. */
export function cliPage(program: Command): string {
  const [, ...all] = commands(program);
  return `${HEAD}
${index(all)}
${all.map(section).join('\n')}`;
}

const HEAD = `# The command line

Made by \`make docs\` from the commands themselves. \`countersign help COMMAND\` says the same in the terminal, and
\`source <(countersign completion bash)\` (or \`zsh\`, \`fish\`) completes commands, options and their values.

## Exit codes

| code | means |
|---|---|
| 0 | allowed, valid, done; nothing found where a command looks for what is wrong |
| 1 | denied, pending, invalid, differing; something found |
| 2 | could not tell: wrong usage, unreadable input, a service that does not answer. What to do is said on standard error |

\`check --conftest\` follows Conftest's own: 1 for failures and faults alike.

## What is printed

Results go to standard output, everything else (progress, questions, faults) to standard error. Tables have aligned columns and are cut to the width of a terminal, never in a file or a
pipe. Colour is for terminals, and not where \`NO_COLOR\` is set. Characters that would move the cursor or reorder what is read are shown escaped, as \`\\u202e\`.

\`--output json\` is for programs: a value, or a line each where rows may be many. Commands that list take \`csv\` (RFC 4180; what a spreadsheet would take for a formula gets an apostrophe in
front) and \`yaml\`, too.

## Who asks

Commands with \`--url\` ask a running service. They send the token of \`--token\`, else of \`COUNTERSIGN_TOKEN\`, else what \`countersign login\` keeps for that address ([access](access.md)).

## Commands
`;

function index(all: readonly Command[]): string {
  return all
    .filter(({ parent }) => pathOf(parent!) === '')
    .map(
      (command) =>
        `- [\`${pathOf(command)}\`](#countersign-${pathOf(command).replaceAll(' ', '-')}): ${command.description()}\n`,
    ) // prettier-ignore
    .join('');
}

function section(command: Command): string {
  const path = pathOf(command);
  const options = command.options.filter(({ hidden }) => !hidden);
  const words = command.registeredArguments;
  const rest =
    helpOf(command)
      .split(/^ {2}-h, --help .*$/m)[1]
      ?.trimEnd() ?? '';
  // The list of commands below is the sections that follow.
  const after = rest.replace(/^\n*Commands:\n(?: {2}.*\n?)*/, '').trim();
  return [
    `### countersign ${path}\n`,
    `${sentence(command.description())}\n`,
    `\`\`\`\ncountersign ${path} ${command.usage()}\n\`\`\`\n`,
    ...(words.length > 0
      ? [`| argument | is |\n|---|---|\n${words.map((one) => `| \`${one.name()}\` | ${cell(one.description + (one.defaultValue === undefined ? '' : ` (by default \`${String(one.defaultValue)}\`)`))} |`).join('\n')}\n`] // prettier-ignore
      : []),
    ...(options.length > 0
      ? [
          `| option | does |\n|---|---|\n${options.map((one) => `| \`${one.flags}\` | ${cell(meaning(one))} |`).join('\n')}\n`,
        ]
      : []),
    ...(after === '' ? [] : [`\`\`\`\n${after}\n\`\`\`\n`]),
  ].join('\n');
}

function meaning({ description, argChoices, defaultValue, mandatory }: Option): string {
  const known = argChoices ? `: ${argChoices.map((one) => `\`${one}\``).join(', ')}` : '';
  const plain = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return `${description}${known}${mandatory ? ' (required)' : ''}${plain ? ` (by default \`${defaultValue}\`)` : ''}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const sentence = (text: string): string => `${text[0].toUpperCase()}${text.slice(1)}.`;
