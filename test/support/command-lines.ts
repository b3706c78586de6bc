import type { Command } from 'commander';
import { pathOf } from '../../src/cli/examples.js';
import { commandTree } from '../../src/cli/tree.js';

interface ParsedLine {
  /** `policy test`. */
  readonly path: string;
  /** What commander says against it. */
  readonly fault: string | null;
}

/** Whether the command line takes this, as a shell would hand it over; nothing is run. */
export async function parseCommandLine(line: string): Promise<ParsedLine> {
  const words = wordsOf(line);
  const program = await commandTree(null);
  let [path, said] = ['', ''];
  const inert = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: (text) => void (said += text), writeOut: () => undefined });
    if (command.commands.length === 0 || pathOf(command) === 'keys') {
      command.action((...given: unknown[]) => void (path = pathOf(given.at(-1) as Command)));
      // It would look for a token.
      Object.assign(command, { _lifeCycleHooks: {} });
    }
    command.commands.forEach(inert);
  };
  inert(program);
  try {
    await program.parseAsync(words.slice(words.indexOf('countersign') + 1), { from: 'user' });
    return { path, fault: null };
  } catch (thrown) {
    return { path, fault: said || (thrown as Error).message };
  }
}

/** Words of a POSIX shell, up to where another command or a redirection begins. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  let [word, open, begun] = ['', '', false];
  const end = (): void => {
    if (begun) words.push(word);
    [word, begun] = ['', false];
  };
  for (let i = 0; i < line.length; i++) {
    const character = line[i];
    if (open !== '') {
      if (character === open) open = '';
      else word += character;
    } else if (character === '"' || character === "'") [open, begun] = [character, true];
    else if (/\s/.test(character)) end();
    else if (character === '#' && !begun) break;
    else if (/[|;>&)]/.test(character)) break;
    else if (character === '<' && line[i + 1] === '(') {
      end();
      i += 1;
    } else [word, begun] = [word + (character === '\\' ? line[++i] : character), true];
  }
  end();
  return words;
}
