import { CountersignError } from '../errors.js';
import type { NoteVerifier } from './note.js';
import { parseVkey } from './note.js';

/** Whom an auditor trusts: the log's key, and how many witnesses must have seen the same tree. */
export interface Trust {
  readonly log: NoteVerifier;
  readonly witnesses: readonly NoteVerifier[];
  /** Whether these witnesses are enough. */
  readonly quorumReached: (signedBy: readonly NoteVerifier[]) => boolean;
  /** For people: `2 of 3 witnesses`, or `no witnesses`. */
  readonly quorum: string;
}

type Judge = (signedBy: readonly NoteVerifier[]) => boolean;

/**
 * C2SP tlog-policy (`log`, `witness`, `group`, `quorum` lines, `#` comments), or a file that holds a vkey and nothing else. Throws
 * `keys-invalid` with the line.
 */
export function parseTrust(text: string, file: string): Trust {
  const lines = text
    .split('\n')
    .map((line, i) => ({ words: line.replace(/#.*/, '').trim().split(/\s+/), line: i + 1 }));
  const meaningful = lines.filter(({ words }) => words[0] !== '');
  const only = meaningful[0];
  if (meaningful.length === 1 && only?.words.length === 1) return trustIn(parseVkey(only.words[0]));

  const logs: NoteVerifier[] = [];
  const witnesses: NoteVerifier[] = [];
  const names = new Map<string, { readonly judge: Judge; readonly label: string }>();
  let quorum: { readonly judge: Judge; readonly label: string } | undefined;
  for (const { words, line } of meaningful) {
    const [keyword, name = '', third = '', ...rest] = words;
    const fail = (why: string): never => {
      throw new CountersignError('keys-invalid', why, {
        place: { file, line },
        remedy: 'See C2SP tlog-policy for the format',
      });
    };
    const define = (judge: Judge, label: string): void => {
      if (name === '' || name === 'none' || names.has(name)) fail(`"${name}" cannot be defined here (again)`);
      names.set(name, { judge, label });
    };
    if (keyword === 'log') {
      logs.push(parseVkey(name));
    } else if (keyword === 'witness') {
      const verifier = parseVkey(third);
      define((signedBy) => signedBy.includes(verifier), name);
      witnesses.push(verifier);
    } else if (keyword === 'group') {
      const members = rest.map((member) => names.get(member) ?? fail(`"${member}" is not defined above`));
      const needed = third === 'all' ? members.length : third === 'any' ? 1 : /^\d+$/.test(third) ? Number(third) : 0;
      if (needed < 1 || needed > members.length) fail(`a group of ${members.length} cannot ask for "${third}"`);
      const judge: Judge = (signedBy) => members.filter((member) => member.judge(signedBy)).length >= needed;
      define(judge, `${needed} of ${members.length} witnesses`);
    } else if (keyword === 'quorum') {
      if (quorum) fail('a second quorum');
      quorum =
        name === 'none'
          ? { judge: () => true, label: 'no witnesses' }
          : (names.get(name) ?? fail(`"${name}" is not defined above`));
    } else {
      fail(`"${keyword}" is none of log, witness, group, quorum`);
    }
  }
  if (logs.length !== 1) {
    throw new CountersignError('keys-invalid', `${logs.length} logs are named, one is needed`, {
      place: { file },
      remedy: 'Put the vkey that `countersign keys --vkey` prints on a line "log <vkey>"',
    });
  }
  // Witnesses without a quorum line would be silently optional.
  if (witnesses.length > 0 && !quorum) {
    throw new CountersignError('keys-invalid', 'witnesses are named but no quorum', {
      place: { file },
      remedy: 'Add a line "quorum <name>", or "quorum none"',
    });
  }
  return {
    log: logs[0],
    witnesses,
    quorumReached: quorum?.judge ?? (() => true),
    quorum: quorum?.label ?? 'no witnesses',
  };
}

export function trustIn(log: NoteVerifier): Trust {
  return { log, witnesses: [], quorumReached: () => true, quorum: 'no witnesses' };
}
