import { z } from 'zod';
import { isJsonObject, type Json, type JsonObject, type KubernetesObject } from '../cluster/object.js';
import type { Signature } from '../source/signature.js';
import type { PolicyInput } from './input.js';

// The shape of the policy input once more: for editors, for the documentation, and for the compiler, which in strict mode refuses a policy
// that reads what is not there. That it and the type say the same is checked by the types themselves, at the end.

const list = <T extends z.ZodType>(item: T) => z.array(item).readonly();
const text = z.string();
const time = z.string().meta({ format: 'date-time' });
const commitId = z.string();
const free = z.record(text, z.any());
const object = free as unknown as z.ZodType<KubernetesObject>;

const person = z
  .strictObject({
    name: text,
    email: text,
    time: time.describe('With the offset that Git recorded.'),
  })
  .readonly()
  .meta({ id: 'person', description: 'Who a commit says made it, and when: a claim, proven by nothing.' });

const signature: z.ZodType<Signature> = z
  .strictObject({
    kind: z.enum(['ssh', 'openpgp', 'x509', 'none']),
    status: z.enum(['verified', 'unverified', 'none', 'expired', 'revoked', 'unknown_key']),
    principal: text.describe('Who the verified key belongs to; only with status `verified`.').optional(),
    key: text
      .describe("The key's fingerprint: `SHA256:…`, or hexadecimal of an OpenPGP key or a certificate.")
      .optional(),
    person: text.describe('Who that is by the governed identity map; only with status `verified`.').optional(),
    forge: z.literal(true).describe("A forge's own key made it, which vouches for what was done there and not for the person.").optional(), // prettier-ignore
    reason: text.describe('Why the status is not `verified`, for people.').optional(),
    get mergetags() {
      return list(tag).describe('Signed tags that a merge says it merged; they vouch for what was merged.').optional();
    },
  })
  .readonly()
  .meta({ id: 'signature', description: 'What checking a signature gave.' });

const tag = z
  .strictObject({ tag: text, object: commitId.describe('What the tag is of.'), signature })
  .readonly()
  .meta({ id: 'tag' });

const commit = z
  .strictObject({
    id: commitId,
    tree: text,
    parents: list(commitId),
    message: text,
    trailers: z.record(text, list(text)).readonly().describe('Values by key of the trailers, as `Ticket` or `Reviewed-by`.'), // prettier-ignore
    author: person,
    committer: person,
    signature,
    files: list(
      z
        .strictObject({
          path: text.describe('From the root of the repository.'),
          op: z.enum(['add', 'modify', 'delete']),
          mode: text.describe('As Git writes it: `100644`.'),
        })
        .readonly(),
    ),
  })
  .readonly()
  .meta({ id: 'commit' });

const change = z
  .strictObject({
    op: z.enum(['create', 'update', 'delete']),
    object: z
      .strictObject({ apiVersion: text, kind: text, namespace: text.describe('Empty for what has none.'), name: text })
      .readonly(),
    before: object.nullable().describe('The object as it was, whatever fields its kind has; null where it is new. Values of Secrets are keyed digests.'), // prettier-ignore
    after: object.nullable().describe('As it is to be; null where it is deleted.'),
    patch: list(
      z
        .strictObject({
          op: z.enum(['add', 'remove', 'replace']),
          path: text.describe('RFC 6901.'),
          value: (z.any() as z.ZodType<Json>).optional(),
        })
        .readonly(),
    ).describe('RFC 6902, from before to after; empty unless both are there.'),
    source: z.strictObject({ path: text, line: z.int() }).readonly().describe('Where it is written.'),
    live: z
      .strictObject({ object: (free as unknown as z.ZodType<JsonObject>).optional(), health: text.optional() })
      .readonly()
      .nullable()
      .describe('The live object, where it is known; null where it is not.'),
  })
  .readonly()
  .meta({ id: 'change', description: 'One object that is created, updated or deleted.' });

const approval = z
  .strictObject({
    principal: text,
    person: text.describe('Who that is, where one person has several principals.').optional(),
    via: z.enum(['git', 'forge', 'login']).describe('How it came: signed and pushed, by a review of a forge, or by a login here.'), // prettier-ignore
    strength: z.enum(['signed', 'vouched']).describe("By a key of the approver's own, or on the word of a forge or of this service.").optional(), // prettier-ignore
    time,
    verified: z.boolean(),
    carriedFrom: commitId.describe('The head that was approved, where that is another: the service merged it itself and got this change.').optional(), // prettier-ignore
  })
  .readonly()
  .meta({ id: 'approval', description: 'Of exactly this change.' });

const check = z
  .strictObject({ name: text, result: text, url: text.optional(), by: text.optional() })
  .readonly()
  .meta({ id: 'check', description: 'A result of CI.' });

const exception = z
  .strictObject({
    id: text.describe('SHA-256, hex, of repository, statement and signature.'),
    rule: text,
    scope: z
      .strictObject({
        environment: text,
        group: text.optional(),
        kind: text.optional(),
        namespace: text.optional(),
        name: text.optional(),
        path: text.describe('A glob.').optional(),
        commit: commitId.optional(),
      })
      .readonly(),
    expires: time,
    principal: text.describe('Whose verified key signed it.'),
    owner: text.optional(),
    reason: text.optional(),
    ticket: text.optional(),
  })
  .readonly()
  .meta({ id: 'exception', description: 'One that is in force.' });

const owners = z
  .strictObject({
    pattern: text,
    line: z.int(),
    section: text,
    approvals: z.int(),
    owners: list(text).describe('As they are written.'),
    people: list(text).describe('Everybody whom they stand for.'),
    files: z.int().describe('How many changed files it decides about.'),
    paths: list(text).describe('The first of those files.'),
  })
  .readonly()
  .meta({ id: 'owners', description: 'What one rule of the owners file asks for.' });

const attestation = z
  .strictObject({
    path: text,
    line: z.int(),
    status: z.enum(['verified', 'rejected']).describe('`verified`: a key of `.countersign/attesters.yaml` signed it, and may say so. Only then is any of it more than a claim.'), // prettier-ignore
    fault: z.enum(['malformed', 'forged', 'unknown-key', 'wrong-predicate', 'builder-not-allowed']).optional(),
    reason: text.optional(),
    attester: text.describe('Whose key signed it.').optional(),
    predicateType: text,
    subjects: list(z.strictObject({ name: text, sha256: text }).readonly()),
    builder: text.describe('Of SLSA provenance v1: `runDetails.builder.id`.').optional(),
    buildType: text.optional(),
    sources: list(z.strictObject({ uri: text, commit: commitId.optional() }).readonly()).optional(),
  })
  .readonly()
  .meta({ id: 'attestation', description: 'An in-toto statement of the repository, and what was made of it.' });

const inputSchema = z
  .strictObject({
    apiVersion: z.literal('countersign.dev/v1'),
    kind: z.literal('ProposedChange'),
    time: time.describe('When the review began, UTC. `time.now_ns()` is the same.'),
    repository: z.strictObject({ name: text, url: text }).readonly(),
    environment: z
      .strictObject({
        name: text,
        ref: text.describe('A full name: `refs/heads/main`.'),
        path: text,
        target: text.nullable(),
        labels: z.record(text, text).readonly().describe('As `countersign.yaml` gives them.'),
      })
      .readonly(),
    operation: z.enum(['push', 'rollback', 'roll_forward', 'promotion', 'adoption', 'break_glass']),
    reason: text.describe('For every operation but `push`.').optional(),
    ticket: text.describe('For every operation but `push`, where one was given.').optional(),
    push: z
      .strictObject({
        ref: text,
        old: commitId.nullable(),
        new: commitId.nullable(),
        forced: z.boolean(),
        pusher: text
          .describe('Who pushed: the person of the identity map, else the account. Absent where nobody said it.')
          .optional(),
        pusherAccount: text.describe('By what account: `github:bo-codes`, `login:bo`.').optional(),
        pusherVia: z
          .enum(['webhook', 'hook'])
          .describe('Whose word that is: the forge’s, or the Git server’s.')
          .optional(),
      })
      .readonly()
      .describe('Absent where nothing was pushed, as in `countersign check`.')
      .optional(),
    base: commitId.nullable().describe('The last approved commit; null where there is none.'),
    head: commitId.describe('The commit that is judged.'),
    commits: list(commit).describe(
      'From base to head, each with its own author and signer. None for rules of scope `object`.',
    ),
    changes: list(change).describe('The objects that change. Exactly one for rules of scope `object`.'),
    approvals: list(approval),
    checks: list(check),
    exceptions: list(exception),
    owners: list(owners).describe('Absent where the repository has no owners file.').optional(),
    groups: z.record(text, list(text)).readonly().describe('Members by group; absent where none are defined.').optional(), // prettier-ignore
    attestations: list(attestation).describe('Absent where the repository names nobody to believe.').optional(),
    inventory: (z.any() as z.ZodType<Json>).describe("The environment's objects at head, where Gatekeeper's templates ask for them.").optional(), // prettier-ignore
  })
  .readonly();

/** Where editors and other tools find it by name. */
const INPUT_SCHEMA_ID = 'https://countersign.dev/schemas/policy-input/v1.json';

/** JSON Schema, draft 7 (what OPA and most editors read), of what policies see as `input` in packages `countersign.<area>`. */
export function inputJsonSchema(): JsonObject {
  return (made ??= makeSchema());
}

let made: JsonObject | undefined;

function makeSchema(): JsonObject {
  const { $schema, ...schema } = z.toJSONSchema(inputSchema, {
    target: 'draft-7',
    io: 'input',
    override: ({ jsonSchema }) => {
      delete jsonSchema.readOnly;
      delete jsonSchema.id;
      delete jsonSchema.propertyNames;
      if (jsonSchema.type === 'integer') {
        delete jsonSchema.minimum;
        delete jsonSchema.maximum;
      }
    },
  });
  return {
    $schema,
    $id: INPUT_SCHEMA_ID,
    title: 'Policy input countersign.dev/v1',
    description: 'What a policy of package countersign.<area> sees as `input`: one proposed change.',
    ...(alternatives(JSON.parse(JSON.stringify(schema)) as JsonObject) as JsonObject),
  } as JsonObject;
}

/** OPA takes the first of several types for the only one, but it knows alternatives. */
function alternatives(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(alternatives);
  if (!isJsonObject(schema)) return schema;
  const members = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, alternatives(value)]));
  if (!Array.isArray(schema['type'])) return members;
  const { type, ...rest } = members;
  return { ...rest, anyOf: (type as readonly Json[]).map((one) => ({ type: one })) };
}

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : { readonly lacks: A }) : { readonly lacks: B };
const same: Same<z.infer<typeof inputSchema>, PolicyInput> = true;
void same;
