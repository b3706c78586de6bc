import type { Command, Option } from 'commander';
import { pathOf } from '../examples.js';

/** What may follow a command: what completes it in every shell. */
interface Place {
  /** `policy test`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly { readonly names: readonly string[]; readonly summary: string; readonly takes: boolean; readonly values: readonly string[] }[]; // prettier-ignore
  /** Values of its first argument, where they are few. */
  readonly words: readonly string[];
}

/** A script for that shell, made of the commands as they are. */
export function completionFor(shell: 'bash' | 'zsh' | 'fish', program: Command): string {
  const places = placesOf(program);
  return { bash, zsh, fish }[shell](places);
}

function placesOf(command: Command): Place[] {
  const below = command.commands.map((one) => ({ name: one.name(), summary: firstLine(one.description()) }));
  const help = command.parent ? [] : [{ name: 'help', summary: 'show how a command is used' }];
  const place = {
    path: pathOf(command),
    commands: [...below, ...help],
    options: [...command.options.map(optionOf), HELP],
    words: command.registeredArguments[0]?.argChoices ?? [],
  };
  return [place, ...command.commands.flatMap(placesOf)];
}

const HELP = { names: ['--help'], summary: 'show how it is used', takes: false, values: [] };

function optionOf({ long, short, description, required, optional, argChoices }: Option): Place['options'][number] {
  const names = [long, short].filter((name) => name !== undefined && name !== null);
  return { names, summary: firstLine(description), takes: required || optional, values: argChoices ?? [] };
}

const firstLine = (text: string): string => text.split('\n', 1)[0];

/** A single-quoted word of a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Which command the words so far are of, in bash and zsh alike. */
const WALK = (places: readonly Place[]): string => {
  const known = places.map(({ path }) => path).filter((path) => path !== '');
  return `case "$at $word" in
${known.map((path) => `      ${quoted(` ${path}`)}) at=${quoted(` ${path}`)} ;;`).join('\n')}
    esac`;
};

/** By command and the option before the word: what its value may be. */
const VALUES = (places: readonly Place[], give: (values: readonly string[]) => string, files: string): string =>
  places
    .flatMap(({ path, options }) =>
      options
        .filter(({ takes }) => takes)
        .map(({ names, values }) => {
          const at = names.map((name) => quoted(`${path === '' ? '' : ` ${path}`} ${name}`)).join('|');
          return `    ${at}) ${values.length > 0 ? give(values) : files}; return ;;`;
        }),
    )
    .join('\n');

function bash(places: readonly Place[]): string {
  const after = places.map(({ path, commands, options, words }) => {
    const all = [...commands.map(({ name }) => name), ...words];
    const flags = options.flatMap(({ names }) => names);
    return `    ${quoted(path === '' ? '' : ` ${path}`)}) words=${quoted(all.join(' '))} flags=${quoted(flags.join(' '))} ;;`;
  });
  return `# bash completion for countersign: source <(countersign completion bash)
_countersign() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" at='' word words flags i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    ${WALK(places)}
  done
  # The value of an option: one of a few, or a file.
  case "$at $before" in
${VALUES(places, (values) => `COMPREPLY=($(compgen -W ${quoted(values.join(' '))} -- "$current"))`, 'compopt -o default 2>/dev/null')}
  esac
  case "$at" in
${after.join('\n')}
  esac
  if [[ "$current" == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    # Where no command follows, a file may.
    [[ -n "$words" ]] || compopt -o default 2>/dev/null
  fi
}
complete -F _countersign countersign
`;
}

const described = ({ name, summary }: { name: string; summary: string }): string =>
  quoted(`${name.replaceAll(':', '\\:')}:${summary}`);

function zsh(places: readonly Place[]): string {
  const after = places.map(({ path, commands, options, words }) => {
    const all = [...commands.map(described), ...words.map(quoted)].join(' ');
    const flags = options.flatMap(({ names, summary }) => names.map((name) => described({ name, summary })));
    return `    ${quoted(path === '' ? '' : ` ${path}`)}) commands=(${all}) flags=(${flags.join(' ')}) ;;`;
  });
  return `#compdef countersign
# zsh completion for countersign: countersign completion zsh > DIR/_countersign, with DIR in fpath
_countersign() {
  local at='' word i
  local -a commands flags
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    ${WALK(places)}
  done
  case "$at \${words[CURRENT-1]}" in
${VALUES(places, (values) => `compadd -- ${values.map(quoted).join(' ')}`, '_files')}
  esac
  case "$at" in
${after.join('\n')}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then _describe option flags
  elif (( \${#commands} )); then _describe command commands
  else _files; fi
}
if [[ "\${funcstack[1]}" == _countersign ]]; then _countersign "$@"; else compdef _countersign countersign; fi
`;
}

/** A single-quoted word of fish. */
const escaped = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, options, words }) => {
    const when = `-n ${escaped(`__countersign_at ${escaped(path)}`)}`;
    const names = [...commands, ...words.map((name) => ({ name, summary: '' }))];
    return [
      ...names.map(
        ({ name, summary }) => `complete -c countersign ${when} -f -a ${escaped(name)} -d ${escaped(summary)}`,
      ),
      ...options.map(({ names: [long, short], summary, takes, values }) => {
        const flag = `-l ${escaped(long.replace(/^--/, ''))}${short === undefined ? '' : ` -s ${escaped(short.slice(1))}`}`;
        const value = values.length > 0 ? ` -x -a ${escaped(values.join(' '))}` : takes ? ' -r' : '';
        return `complete -c countersign ${when} ${flag}${value} -d ${escaped(summary)}`;
      }),
    ];
  });
  const known = places.map(({ path }) => path).filter((path) => path !== '');
  return `# fish completion for countersign: countersign completion fish > ~/.config/fish/completions/countersign.fish
function __countersign_at
    set -l at ''
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$at $word")
        if contains -- "$next" ${known.map(escaped).join(' ')}
            set at $next
        end
    end
    test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}
