import { type Envelope, envelopeSigners, parseEnvelope } from '../audit/dsse.js';
import { parseStrictJson } from '../cluster/canonical.js';
import { isJsonObject, type Json, type JsonObject, type KubernetesObject } from '../cluster/object.js';
import { CountersignError, toCountersignError } from '../errors.js';
import type { InputAttestation } from '../policy/input.js';
import type { TreeReader } from '../source/repository.js';
import { type Attester, type Attesters, PROVENANCE } from './attesters.js';

/** in-toto's statements; v0.1 is what SLSA v0.2 builders still write, and tells of the same subjects. */
const STATEMENTS = ['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1'];
const PAYLOAD = 'application/vnd.in-toto+json';
const FILES = /\.(json|jsonl|sigstore|intoto|att|dsse)$/;
/** Bytes of one file, bytes of all of them, envelopes in all. */
const LIMITS = { file: 4 * 2 ** 20, all: 64 * 2 ** 20, envelopes: 20_000 };
/** Characters of what an attestation says of itself. */
const TEXT = 500;
/** Of those that name no image that is used, because they can't be read, or lie about what they are: told so many. */
const UNREADABLE_TOLD = 20;

type Read = Omit<InputAttestation, 'path' | 'line'>;

/**
 * What the attestations of a repository at a commit say of the images that these objects use: verified here, so that policy sees facts.
 * One that is forged, of an unknown key, or says what its key may not say is told as rejected, with the reason. Throws
 * `change-too-large` for more than can be looked at.
 */
export async function attestationsFor(
  tree: TreeReader,
  commit: string,
  { folder, attesters }: Attesters,
  objects: readonly KubernetesObject[],
): Promise<readonly InputAttestation[]> {
  const images = imagesOf(objects);
  if (images.digests.size === 0 && images.names.size === 0) return [];
  const entries = (await tree.tree(commit, folder)).filter(({ type, mode, path }) => type === 'blob' && mode !== '120000' && FILES.test(path)); // prettier-ignore
  const found: InputAttestation[] = [];
  let [bytes, envelopes, unreadable] = [0, 0, 0];
  for (const { id, path } of entries) {
    const blob = await tree.blob(id);
    bytes += blob.length;
    if (blob.length > LIMITS.file || bytes > LIMITS.all) throw tooMuch(path, 'it is too large');
    for (const { line, text } of linesOf(path, blob.toString('utf8'))) {
      if (++envelopes > LIMITS.envelopes) throw tooMuch(path, `there are more than ${LIMITS.envelopes} attestations`);
      const read = readAttestation(text, attesters);
      const concerns = read.subjects.some(
        ({ sha256, name }) => images.digests.has(sha256) || images.names.has(fullName(name)),
      );
      if (concerns || (read.subjects.length === 0 && unreadable++ < UNREADABLE_TOLD))
        found.push({ path, line, ...read });
    }
  }
  return found;
}

/** A text of one envelope, or of a Sigstore bundle that holds one. Never throws: what is wrong with it is what there is to say of it. */
export function readAttestation(text: string, attesters: readonly Attester[]): Read {
  let envelope: Envelope;
  let statement: JsonObject;
  try {
    envelope = envelopeOf(text);
    statement = statementOf(envelope);
  } catch (thrown) {
    const reason = thrown instanceof CountersignError ? thrown.message : 'it cannot be read';
    return { status: 'rejected', fault: 'malformed', reason, predicateType: '', subjects: [] };
  }
  const predicateType = textOf(statement['predicateType']);
  const said = { predicateType, subjects: subjectsOf(statement), ...provenanceOf(statement) };
  const rejected = (fault: InputAttestation['fault'] & string, reason: string): Read => ({ ...said, status: 'rejected', fault, reason }); // prettier-ignore
  const keys = new Set(envelopeSigners(envelope, attesters.map(({ key }) => key))); // prettier-ignore
  const signers = attesters.filter(({ key }) => keys.has(key));
  if (signers.length === 0) {
    // A name of a key is a hint only; but one that we know, on a signature that does not hold, is no stranger's.
    const claimed = attesters.find(({ name }) => envelope.signatures.some(({ keyid }) => keyid === name));
    if (claimed) return rejected('forged', `it names the key of ${claimed.name}, which did not sign it`);
    return rejected('unknown-key', 'no key of .countersign/attesters.yaml signed it as it is');
  }
  const allowed = signers.filter(({ predicates }) => predicates.includes(predicateType));
  const names = signers.map(({ name }) => name).join(', ');
  if (allowed.length === 0) return rejected('wrong-predicate', `${names} may not state ${predicateType || 'nothing'}`);
  const { builder } = said;
  const speaking =
    predicateType === PROVENANCE ? allowed.filter(({ builders }) => isOneOf(builders, builder)) : allowed;
  if (speaking.length === 0) {
    return rejected(
      'builder-not-allowed',
      `${names} may not speak for the builder ${builder ?? 'that it does not name'}`,
    );
  }
  return { ...said, status: 'verified', attester: speaking[0].name };
}

function envelopeOf(text: string): Envelope {
  const value = parseStrictJson(text, { file: '' });
  // A Sigstore bundle: what stands beside the envelope says where to look for a key, and ours are governed.
  const inner = isJsonObject(value) && isJsonObject(value['dsseEnvelope']) ? value['dsseEnvelope'] : value;
  const envelope = parseEnvelope(Buffer.from(JSON.stringify(inner)));
  if (envelope.payloadType !== PAYLOAD)
    throw malformed(`its payload is ${envelope.payloadType.slice(0, TEXT)} and no in-toto statement`);
  return envelope;
}

function statementOf({ payload }: Envelope): JsonObject {
  const value = parseStrictJson(Buffer.from(payload).toString('utf8'), { file: '' });
  if (!isJsonObject(value) || !STATEMENTS.includes(textOf(value['_type'])))
    throw malformed('its payload is no in-toto statement');
  if (!Array.isArray(value['subject'])) throw malformed('its statement has no subjects');
  return value;
}

function subjectsOf(statement: JsonObject): InputAttestation['subjects'] {
  return (statement['subject'] as readonly Json[]).slice(0, 1000).flatMap((subject) => {
    if (!isJsonObject(subject)) return [];
    const sha256 = textOf(isJsonObject(subject['digest']) ? subject['digest']['sha256'] : undefined);
    return /^[0-9a-f]{64}$/.test(sha256) ? [{ name: textOf(subject['name']), sha256 }] : [];
  });
}

/** SLSA v1: who built it, how, and from what. Source: https://slsa.dev/spec/v1.0/provenance */
function provenanceOf({ predicateType, predicate }: JsonObject): Pick<Read, 'builder' | 'buildType' | 'sources'> {
  if (predicateType !== PROVENANCE || !isJsonObject(predicate)) return {};
  const { buildDefinition = null, runDetails = null } = predicate;
  const builder = isJsonObject(runDetails) && isJsonObject(runDetails['builder']) ? runDetails['builder']['id'] : null;
  const buildType = isJsonObject(buildDefinition) ? buildDefinition['buildType'] : null;
  const resolved = isJsonObject(buildDefinition) ? buildDefinition['resolvedDependencies'] : null;
  const sources = (Array.isArray(resolved) ? (resolved as readonly Json[]) : []).slice(0, 100).flatMap((one) => {
    if (!isJsonObject(one) || typeof one['uri'] !== 'string') return [];
    const digest = isJsonObject(one['digest']) ? one['digest'] : {};
    return [{ uri: textOf(one['uri']), ...(typeof digest['gitCommit'] === 'string' ? { commit: textOf(digest['gitCommit']) } : {}) }]; // prettier-ignore
  });
  return {
    ...(typeof builder === 'string' ? { builder: textOf(builder) } : {}),
    ...(typeof buildType === 'string' ? { buildType: textOf(buildType) } : {}),
    sources,
  };
}

function isOneOf(patterns: readonly string[], builder: string | undefined): boolean {
  if (patterns.length === 0) return true;
  return builder !== undefined && patterns.some((pattern) => patternOf(pattern).test(builder));
}

function patternOf(pattern: string): RegExp {
  const parts = pattern.split(/\*+/).map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('[^]*')}$`);
}

/** A file of lines holds an envelope in each, as `*.intoto.jsonl` does; any other file is one. */
function linesOf(path: string, text: string): { readonly line: number; readonly text: string }[] {
  if (!path.endsWith('.jsonl')) return [{ line: 1, text }];
  return text.split('\n').flatMap((one, i) => (one.trim() === '' ? [] : [{ line: i + 1, text: one }]));
}

/** Digests that images are pinned by, and their names, as attestations call them. */
function imagesOf(objects: readonly KubernetesObject[]): { digests: ReadonlySet<string>; names: ReadonlySet<string> } {
  const [digests, names] = [new Set<string>(), new Set<string>()];
  const look = (value: Json): void => {
    if (Array.isArray(value)) return (value as readonly Json[]).forEach(look);
    if (!isJsonObject(value)) return;
    for (const [key, member] of Object.entries(value)) {
      if ((key === 'image' || key === 'reference') && typeof member === 'string') {
        const [reference, digest] = member.split('@sha256:');
        if (digest !== undefined) digests.add(digest);
        names.add(fullName(reference.replace(/:[^/:]*$/, '')));
      } else look(member);
    }
  };
  objects.forEach(look);
  return { digests, names };
}

/** As runtimes read it: `nginx` is `docker.io/library/nginx`. */
function fullName(name: string): string {
  const [first, ...rest] = name.split('/');
  if (rest.length === 0) return `docker.io/library/${name}`;
  return /[.:]|^localhost$/.test(first) ? name : `docker.io/${name}`;
}

const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value.slice(0, TEXT) : '');

const malformed = (message: string): CountersignError => new CountersignError('bundle-invalid', message);

function tooMuch(file: string, why: string): CountersignError {
  return new CountersignError('change-too-large', `attestations cannot be looked at: ${why}`, {
    place: { file },
    remedy: 'Keep those of images that are used, and remove the others',
  });
}

/** For reviews: none where the repository names no attesters; what cannot be looked at is a problem of the change (invariant 7). */
export async function attestationInput(
  tree: TreeReader,
  commit: string,
  attesters: Attesters | null,
  objects: readonly KubernetesObject[],
): Promise<{ readonly attestations?: readonly InputAttestation[]; readonly problem?: CountersignError }> {
  if (!attesters) return {};
  try {
    return { attestations: await attestationsFor(tree, commit, attesters, objects) };
  } catch (thrown) {
    const problem = toCountersignError(thrown);
    if (problem.code === 'change-too-large') return { attestations: [], problem };
    throw thrown;
  }
}
