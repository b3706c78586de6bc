import { capMemory, Reactor, readBuilt } from '../wasi/reactor.js';

/** 64 KiB each: 512 MiB. */
const MAX_PAGES = 8192;

/** Conftest's parsers, started by the first file that needs one of them: 0.2 s and 60 MiB. */
export class InputParsers {
  private reactor: Reactor | undefined;

  /**
   * The values of a file as JSON texts, several if its top is a list. `combined`: as they are among combined files.
   * Throws an Error that says what is wrong with it.
   */
  parse(format: string, path: string, text: Uint8Array, combined: boolean): readonly string[] {
    return this.call(format, path, text, combined ? 'combined' : 'single');
  }

  /** A file's value as one JSON text, a list if its top is one. Throws as `parse`. */
  parseWhole(format: string, path: string, text: Uint8Array): string {
    return this.call(format, path, text, 'whole')[0];
  }

  /** Rows as Conftest draws them. */
  table(rows: readonly (readonly string[])[]): string {
    return this.call('table', '', Buffer.from(JSON.stringify(rows)), 'single')[0];
  }

  private call(name: string, path: string, text: Uint8Array, mode: 'combined' | 'single' | 'whole'): readonly string[] {
    const head = `${name}\n${mode}\n${path.replaceAll('\n', ' ')}\n`;
    let answer: string;
    try {
      answer = Buffer.from(this.start().call(Buffer.from(head), text)).toString();
    } catch (cause) {
      this.reactor = undefined; // Go's runtime does not survive a throw
      throw new Error(`the ${name} parser ran out of memory or crashed`, { cause });
    }
    if (answer.startsWith('e')) throw new Error(answer.slice(1));
    return JSON.parse(answer.slice(1)) as string[];
  }

  private start(): Reactor {
    return (this.reactor ??= new Reactor(
      new WebAssembly.Module(capMemory(readBuilt('inputs.wasm', import.meta.url, "the parsers of Conftest's formats"), MAX_PAGES)), // prettier-ignore
      { name: 'inputs', environment: { GOGC: '200' } },
    ));
  }
}
