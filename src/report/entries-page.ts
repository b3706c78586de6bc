import { type EntryType, entryTypes, predicateType } from '../audit/entry.js';
import type { JsonObject } from '../cluster/object.js';

/** What a type of entry says: in its predicate, for ever, and in contents beside it, which can be withheld and erased. */
interface Described {
  readonly tells: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly contents: Readonly<Record<string, string>>;
}

const REPOSITORY = { repository: 'name of the repository' };
const PLACE = { ...REPOSITORY, environment: 'name of the environment; null where it is about the repository' };
const POLICY = {
  wasm: 'the compiled policy (not salted)',
  policy: 'the rest of the bundle: data, rules, entry points (not salted)',
  rego: 'its Rego (not salted)',
};
const BUNDLE = {
  bundleDigest: 'SHA-256 of the policy bundle',
  wasmDigest: 'SHA-256 of its Wasm',
  organisation: 'repository and commit of the organisation’s policy, where one lies above',
};
const OBJECT = { object: 'identity of the object: group, version, kind, namespace, name' };

/** Every field that an entry may have. The tests hold what the service logs to this table. */
const describedEntries: Readonly<Record<EntryType, Described>> = {
  genesis: {
    tells: 'A repository is followed from this commit on; or a log begins that follows a lost one.',
    fields: {
      ...REPOSITORY,
      ref: 'the governance ref',
      commit: 'where trust begins',
      trust: '`commit` or `key`: what the configuration names as the beginning',
      ...BUNDLE,
      of: '`log`, where a log begins',
      predecessor:
        'of a log that begins: origin, vkey, size, root, checkpoint of the one before, and how many of its entries are held',
    },
    contents: POLICY,
  },
  service: {
    tells: 'The service started.',
    fields: {
      version: 'of Countersign',
      configurationDigest: 'SHA-256 of the resolved configuration, without secrets',
    },
    contents: { configuration: 'the resolved configuration, without secrets' },
  },
  push: {
    tells: 'A ref moved; or, later, who had moved it.',
    fields: {
      ...REPOSITORY,
      ref: 'full name of the ref',
      kind: 'how it moved: created, advanced, rewound, forced or deleted',
      old: 'the commit before; null for none',
      new: 'the commit after; null for none',
      commits: 'how many commits came with it',
      of: 'of an entry that tells who pushed: the id of that push',
    },
    contents: { pusher: 'the account, by the forge’s or the Git server’s word' },
  },
  decision: {
    tells: 'Policy judged a proposed change: allowed or not, under which policy, from which input.',
    fields: {
      ...PLACE,
      target: 'where an allowed change may be applied; null: nowhere',
      operation: 'push, rollback, roll_forward, promotion, adoption, break_glass',
      ref: 'full name of the ref',
      pushEntry: 'id of the push that put `head` there; null for advice',
      advice: 'true for a verdict on an open request, which is never acted on',
      request: 'the ref of that request',
      base: 'the commit that it starts from; null for none',
      head: 'the commit that is judged',
      tree: 'the Git tree of `head`',
      renderedDigest: 'SHA-256 over the objects that would be applied',
      outcome: 'allow, deny, pending or error',
      ...BUNDLE,
      rules: 'ids of the rules that denied',
      error: 'code of what kept it from being judged; null for nothing',
      approvals: 'ids of the approvals that counted',
      carried: 'those of them that were given to another head which the service merged itself, and to which',
      reviewDue: 'until when an emergency change is to be looked at',
      exceptions: 'ids of the exceptions that were used',
      exceptionsUntil: 'when the first of those ends',
    },
    contents: {
      ...POLICY,
      input: 'the policy input',
      result: 'what each entry point of the policy gave',
      violations: 'violations, warnings, approvals still needed, and what exceptions excused',
      rendered: 'the objects, with values of Secrets as keyed digests (shared with other decisions)',
      impact: 'of a change of policy: what it would have done to the newest decisions',
    },
  },
  approval: {
    tells: 'Somebody approved a change, or took that back; and whether it counts.',
    fields: {
      ...PLACE,
      ref: 'full name of the ref',
      base: 'the commit that the change starts from',
      head: 'the commit that is approved',
      tree: 'its Git tree',
      renderedDigest: 'SHA-256 over the objects that are approved',
      target: 'where they go',
      change: 'id of the change, where it is known',
      advice: 'id of the request’s verdict that it was given to',
      via: 'how it came: git (signed), login, forge',
      strength: 'how strong that is',
      status: 'accepted, rejected, lapsed or withdrawn',
      reviews: 'id of the emergency decision that it looks at afterwards',
    },
    contents: {
      statement: 'what was signed, to the byte',
      signature: 'the signature',
      verdict: 'who it was, with key or account, and why it counts or not',
    },
  },
  exception: {
    tells: 'An exception from a rule was accepted, rejected, or ended.',
    fields: {
      ...REPOSITORY,
      status: 'accepted, rejected, lapsed or withdrawn',
      rule: 'id of the rule',
      scope: 'what it is for',
      expires: 'when it ends',
    },
    contents: {
      statement: 'the file, to the byte',
      signature: 'its signature',
      verdict: 'who signed, and why it counts or not',
    },
  },
  run: {
    tells:
      'An environment is being brought to a commit (`phase: started`, before the first write), and what came of it (`finished`).',
    fields: {
      ...PLACE,
      phase: 'started or finished',
      target: 'name of the target',
      decision: 'index of the decision that allows it',
      decisionId: 'its id',
      head: 'the commit',
      reason: 'deploy, or repair of drift',
      epoch: 'of the lease that it runs under',
      writes: 'how many writes of which kind are planned, or came out how',
      move: 'of a ref that others follow: ref, from, to, forced',
      outcome: 'succeeded, failed, superseded or interrupted',
      trouble: 'code of what went wrong; null for nothing',
    },
    contents: {
      planned: 'every planned write (not salted)',
      results: 'what became of each',
      inventory: 'what the environment has in the target now (not salted)',
    },
  },
  drift: {
    tells: 'A live object differs from what was approved; or, later, better evidence of who did that.',
    fields: {
      ...PLACE,
      target: 'name of the target',
      decision: 'index of the decision that holds there',
      ...OBJECT,
      type: 'changed, deleted, added …',
      uid: 'of the live object',
      strength: 'how far the evidence goes',
      fields: 'how many fields differ',
      supplements: 'id of the drift that this tells more of',
      source: 'where the later evidence is from',
      incomplete: 'whether some of it was lost',
    },
    contents: { evidence: 'which fields, and who it was by which evidence' },
  },
  action: {
    tells:
      'Something was done beside the flow: `override` (an administrator let a change of governance in), `bypass` (a named user passed the admission webhook), `return` (an environment went back by itself), `rebuild` (a lost cluster is made anew), `log-recovered`.',
    fields: {
      ...PLACE,
      action: 'which of these',
      target: 'name of the target',
      base: 'the commit before',
      head: 'the commit after',
      decision: 'id of the decision that it is about',
      outcome: 'what that had said',
      bundleDigest: 'of the policy that governs from here on',
      operation: 'of a bypass: what was written',
      ...OBJECT,
      subResource: 'of that object, where it was one',
      from: 'of a return, the commit; of a recovery, the first entry',
      to: 'likewise, the commit or the entry after the last; null for none',
      lost: 'of a rebuild: how many objects the lost cluster had',
      contentsFound: 'how many contents came with the recovered entries',
      contentsMissing: 'how many did not',
    },
    contents: { said: 'who, and why' },
  },
  fault: {
    tells: 'Something could not be done.',
    fields: { ...PLACE, code: 'its code' },
    contents: { trouble: 'what, where, and what to do' },
  },
  key: {
    tells: 'A key signs, will sign, or signs no more.',
    fields: {
      use: 'entry-signing or checkpoint-signing',
      algorithm: 'ed25519',
      phase: 'next or retired; absent for the one that begins the log',
      keyid: 'of a key for entries: its id',
      publicKey: 'of a key for entries: base64',
      vkey: 'of a key for checkpoints, as C2SP writes it',
      follows: 'the vkey that it will follow',
    },
    contents: {},
  },
  erasure: {
    tells: 'Contents that name a person were erased.',
    fields: {
      count: 'how many contents',
      authorisedBy: 'fingerprints of the keys of the two who signed',
      governance: 'the repository and commit whose signers counted',
    },
    contents: { erased: 'digests of what is gone (not salted)', statement: 'what was signed', signatures: 'by whom' },
  },
  export: {
    tells: 'Somebody took a listing, a report or evidence.',
    fields: {
      report: 'changes, management, oscal, vsa or evidence',
      format: 'csv, jsonl, pdf, json or zip',
      filters: 'what was asked for',
      rows: 'how many rows',
      size: 'the log’s size that they were taken from',
      sample: 'size and seed, where it is one',
      controls: 'the catalogue or control that was asked for',
      reach: 'whose contents are in it: repositories and environments',
    },
    contents: { by: 'token and login of who took it' },
  },
  access: {
    tells: 'Somebody was refused, saw what not everybody sees, or signed in or out; or how many more that were.',
    fields: {
      action: 'what was asked for: a field of GraphQL, an address, `sign-in`, `sign-out`, `endSessions`',
      outcome: 'refused or granted',
      code: 'why it was refused: no-token, unknown-token, expired, out-of-scope, nothing-there, sign-in',
      token: 'what the token is called',
      session: 'what the browser’s session is called',
      refusals: 'how many more were refused within a minute',
      reads: 'how many more were granted within a minute',
    },
    contents: { asked: 'login, and which repository or environment' },
  },
  protection: {
    tells: 'How the forge guards a branch, whenever that changed.',
    fields: {
      ...REPOSITORY,
      ref: 'the branch',
      forge: 'github, gitlab or gitea',
      state: 'protected, unprotected or unknown',
    },
    contents: { settings: 'what the forge says, with the people it names' },
  },
};

/** What every entry has. */
const ALWAYS = {
  id: 'its own id',
  time: 'RFC 3339, UTC: when it happened, by the service’s clock',
  recordedAt: 'RFC 3339, UTC: when the service recorded it',
  contents: 'media type, SHA-256 and salt of each content, by role',
};

/** Fields and contents of an entry that the table above does not know. */
export function undescribedIn(type: EntryType, predicate: JsonObject): readonly string[] {
  const { fields, contents } = describedEntries[type];
  const roles = Object.keys((predicate['contents'] as JsonObject | undefined) ?? {});
  return [
    ...Object.keys(predicate).filter((name) => !(name in fields) && !(name in ALWAYS)),
    ...roles.filter((role) => !(role in contents)).map((role) => `contents.${role}`),
  ].map((name) => `${type}: ${name}`);
}

/** docs/entries.md. */
export function entriesPage(): string {
  return `# Entries of the log

Made by \`make docs\` from src/report/entries-page.ts, which the tests hold to what the service logs; not to be edited.

A leaf of the log is a DSSE envelope over an in-toto Statement v1. Its \`predicateType\` is \`${predicateType('decision').replace('decision', 'TYPE')}\`, its subjects name commits and trees
(\`git:shop\` with \`gitCommit\`, \`gitTree\`), its predicate has the fields below. They are identities, digests and codes, for ever: what names people, quotes messages or holds objects stands in
*contents* beside the log, which the predicate names by role and by the SHA-256 of 32 random bytes and the content (or of the content alone, where it says *not salted*). So contents can be
withheld or [erased](log.md), and every proof stays valid.

Read them with \`{ entries(first: 10, newestFirst: true, filter: {type: [decision]}) { nodes { index time predicate } } }\`, as tiles under \`/log/\` ([log](log.md)), or in an evidence bundle.

Every entry has ${Object.entries(ALWAYS)
    .map(([name, is]) => `\`${name}\` (${is})`)
    .join(', ')}.

| type | tells |
|---|---|
${entryTypes.map((type) => `| [\`${type}\`](#${type}) | ${describedEntries[type].tells} |`).join('\n')}

${entryTypes.map(section).join('\n')}`;
}

function section(type: EntryType): string {
  const { tells, fields, contents } = describedEntries[type];
  const rows = [
    ...Object.entries(fields).map(([name, is]) => `| \`${name}\` | ${is} |`),
    ...Object.entries(contents).map(([name, is]) => `| \`contents.${name}\` | ${is} |`),
  ];
  return `## ${type}\n\n${tells}\n\n| field | is |\n|---|---|\n${rows.join('\n')}\n`;
}
