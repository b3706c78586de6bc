import { CountersignError } from '../errors.js';
import { toBase64 } from './crypto.js';
import type { NoteVerifier } from './note.js';
import { parseVkey } from './note.js';

/** Whom an auditor trusts: the log's key, and how many witnesses must have seen the same tree. */
export interface Trust {
  readonly log: NoteVerifier;
  readonly witnesses: readonly NoteVerifier[];
  /** Where a witness takes checkpoints (C2SP tlog-witness, its submission prefix), where the file says so. */
  readonly addresses: ReadonlyMap<NoteVerifier, string>;
  /** Whether these witnesses are enough. */
  readonly quorumReached: (signedBy: readonly NoteVerifier[]) => boolean;
  /** For people: `2 of 3 witnesses`, or `no witnesses`. */
  readonly quorum: string;
}

type Judge = (signedBy: readonly NoteVerifier[]) => boolean;

interface Named {
  readonly judge: Judge;
  /** For people: how many witnesses of how many. */
  readonly label: string;
}

/**
 * C2SP tlog-policy (`log`, `witness`, `group`, `quorum` lines, `#` comments), or a file that holds a vkey and nothing else.
 * `own` is the log that a policy without a `log` line is about. Throws `keys-invalid` with the line.
 */
export function parseTrust(text: string, file: string, own?: NoteVerifier): Trust {
  // Only tabs and spaces part words, and a comment is a line of its own: "#" may stand in an address.
  const lines = text
    .split('\n')
    .map((line, i) => ({ words: line.split(/[ \t]+/).filter((word) => word !== ''), line: i + 1 }))
    .filter(({ words }) => words.length > 0 && !words[0].startsWith('#'));
  const only = lines[0];
  if (lines.length === 1 && only.words.length === 1) return trustIn(parseVkey(only.words[0]));
  const policy = new PolicyLines(file);
  for (const { words, line } of lines) policy.read(words, line);
  return policy.trust(own);
}

export function trustIn(log: NoteVerifier): Trust {
  return { log, witnesses: [], addresses: new Map(), quorumReached: () => true, quorum: noWitnesses };
}

const noWitnesses = 'no witnesses';

class PolicyLines {
  readonly #logs: NoteVerifier[] = [];
  readonly #witnesses: NoteVerifier[] = [];
  readonly #addresses = new Map<NoteVerifier, string>();
  readonly #names = new Map<string, Named>();
  /** Names that a group counts already: no witness may count twice. */
  readonly #members = new Set<string>();
  readonly #keys = new Set<string>();
  #quorum: Named | undefined;
  #line = 0;

  constructor(private readonly file: string) {}

  read([keyword, ...words]: readonly string[], line: number): void {
    this.#line = line;
    if (keyword === 'log') this.#log(words);
    else if (keyword === 'witness') this.#witness(words);
    else if (keyword === 'group') this.#group(words);
    else if (keyword === 'quorum') this.#setQuorum(words);
    else this.#fail(`"${keyword}" is none of log, witness, group, quorum`);
  }

  trust(own: NoteVerifier | undefined): Trust {
    const log = this.#logs[0] ?? own;
    if (this.#logs.length > 1 || !log) {
      throw new CountersignError('keys-invalid', `${this.#logs.length} logs are named, one is needed`, {
        place: { file: this.file },
        remedy: 'Put the vkey that `countersign keys --vkey` prints on a line "log <vkey>"',
      });
    }
    // A log alone is what a vkey alone is; but witnesses without a quorum line would be silently optional.
    if (!this.#quorum && this.#witnesses.length === 0) return trustIn(log);
    if (!this.#quorum) {
      throw new CountersignError('keys-invalid', 'witnesses are named but no quorum', {
        place: { file: this.file },
        remedy: 'Add a line "quorum <name>", or "quorum none"',
      });
    }
    return {
      log,
      witnesses: this.#witnesses,
      addresses: this.#addresses,
      quorumReached: this.#quorum.judge,
      quorum: this.#quorum.label,
    };
  }

  #log([vkey = '']: readonly string[]): void {
    this.#logs.push(this.#newKey(vkey));
  }

  #witness([name = '', vkey = '', address]: readonly string[]): void {
    const verifier = this.#newKey(vkey);
    if (!verifier.cosigns) this.#fail(`the key of ${name} is not a witness's: it signs no time`);
    this.#define(name, { judge: (signedBy) => signedBy.includes(verifier), label: `1 of 1 witnesses` });
    this.#witnesses.push(verifier);
    if (address !== undefined) this.#addresses.set(verifier, address);
  }

  #group([name = '', threshold = '', ...names]: readonly string[]): void {
    const members = names.map((member) => {
      const named = this.#names.get(member) ?? this.#fail(`"${member}" is not defined above`);
      if (this.#members.has(member)) this.#fail(`"${member}" is in a group already`);
      this.#members.add(member);
      return named;
    });
    const counts: Readonly<Record<string, number>> = { all: members.length, any: 1 };
    const needed = counts[threshold] ?? (/^[1-9]\d*$/.test(threshold) ? Number(threshold) : 0);
    if (needed < 1 || needed > members.length) {
      this.#fail(`a group of ${members.length} cannot ask for "${threshold}"`);
    }
    this.#define(name, {
      judge: (signedBy) => members.filter((member) => member.judge(signedBy)).length >= needed,
      label: `${needed} of ${members.length} witnesses`,
    });
  }

  #setQuorum([name = '']: readonly string[]): void {
    if (this.#quorum) this.#fail('a second quorum');
    this.#quorum =
      name === 'none'
        ? { judge: () => true, label: noWitnesses }
        : (this.#names.get(name) ?? this.#fail(`"${name}" is not defined above`));
  }

  #define(name: string, named: Named): void {
    if (name === '' || name === 'none' || this.#names.has(name)) this.#fail(`"${name}" cannot be defined here (again)`);
    this.#names.set(name, named);
  }

  /** One key under two names would count as two witnesses. */
  #newKey(vkey: string): NoteVerifier {
    const verifier = parseVkey(vkey);
    const key = toBase64(verifier.publicKey);
    if (this.#keys.has(key)) this.#fail(`the key of ${verifier.name} is named twice`);
    this.#keys.add(key);
    return verifier;
  }

  #fail(why: string): never {
    throw new CountersignError('keys-invalid', why, {
      place: { file: this.file, line: this.#line },
      remedy: 'See C2SP tlog-policy for the format',
    });
  }
}
