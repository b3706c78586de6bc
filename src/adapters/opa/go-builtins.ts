import { BuiltinError, PolicyAbort, type Builtin, type BuiltinContext } from './builtins/builtin.js';
import { loadProgram, RegoProgram } from './program.js';
import { needsRego, RegoText, toText, type RegoValue } from './values.js';

/** What is not worth writing twice runs in OPA's own code: 6 to 190 µs a call, half a second for the first. */
export class GoBuiltins {
  private module: WebAssembly.Module | undefined;
  private program: RegoProgram | undefined;
  private context: BuiltinContext | undefined;

  constructor(
    private readonly maxPages: number,
    /** Also calls what no decision may use: for OPA's conformance cases alone. */
    private readonly impure = false,
  ) {}

  /** Starts the program at once, so that no evaluation has to wait for it. */
  builtin(name: string): Builtin {
    this.start();
    return (context, ...args) => this.call(name, context, args);
  }

  private start(): RegoProgram {
    // The program alone takes 512 pages before it does anything.
    this.module ??= loadProgram(this.maxPages + 4096);
    if (!this.program) {
      this.program = new RegoProgram(this.module, { now: () => this.context?.now ?? 0n });
      if (this.impure) this.program.call({ op: 'builtins', impure: true });
    }
    return this.program;
  }

  private call(name: string, context: BuiltinContext, args: readonly RegoValue[]): RegoValue | undefined {
    const program = this.start();
    let answer: string;
    try {
      if (this.context !== context) {
        this.context = context;
        program.reset(context.now);
      }
      answer = program.builtin(name, toText(args), needsRego(args));
    } catch (cause) {
      this.program = undefined; // Go's runtime does not survive a throw
      this.context = undefined;
      throw new PolicyAbort(`out of memory in ${name}`, { cause });
    }
    switch (answer[0]) {
      case 'r':
        return new RegoText(answer.slice(1));
      case 'u':
        return undefined;
      case 'e':
        throw new BuiltinError(answer.slice(1));
    }
    throw new PolicyAbort(answer.slice(1));
  }
}
