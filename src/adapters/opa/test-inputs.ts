import { readFileSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { toCountersignError } from '../../errors.js';
import { formatOf, isRead } from '../inputs/formats.js';
import { combinedText } from '../inputs/combined.js';
import { InputParsers } from '../inputs/program.js';
import { InputReader } from '../inputs/read.js';

/** What parsing.go asks. */
interface Question {
  readonly function: 'parse_config' | 'parse_config_file' | 'parse_combined_config_files';
  /** Of the test that asks; paths are relative to it. */
  readonly folder: string;
  readonly arguments: readonly unknown[];
}

/**
 * Conftest's functions that give tests their inputs. A test reads files below one folder and nowhere else, links followed: what it reads could
 * be shown in its output.
 */
export class TestInputs {
  private readonly parsers = new InputParsers();

  constructor(private readonly below: string) {}

  /** `v` and JSON, or `e` and what is wrong. */
  answer(question: Uint8Array): Uint8Array {
    try {
      return Buffer.from(`v${this.parse(JSON.parse(Buffer.from(question).toString()) as Question)}`);
    } catch (error) {
      return Buffer.from(`e${toCountersignError(error).message}`);
    }
  }

  private parse({ function: name, folder, arguments: given }: Question): string {
    if (name === 'parse_config') {
      const [format, text] = given as readonly [string, string];
      return this.parsers.parseWhole(known(format), '', Buffer.from(text));
    }
    if (name === 'parse_config_file') {
      const path = this.allowed(join(folder, given[0] as string));
      return this.parsers.parseWhole(known(formatOf(path) ?? path), path, readFileSync(path));
    }
    const paths = (given[0] as readonly string[]).map((path) => this.allowed(join(folder, path)));
    return combinedText(paths, new InputReader(this.parsers, true));
  }

  private allowed(path: string): string {
    const real = realpathSync(path);
    if (!`${real}${sep}`.startsWith(`${realpathSync(this.below)}${sep}`)) {
      throw new Error(`${path} lies outside of the current folder, where tests read nothing`);
    }
    return path;
  }
}

function known(format: string): string {
  if (!isRead(format)) throw new Error(`${format} is no format that is read here`);
  return format;
}
