import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { KubernetesObject } from '../cluster/object.js';
import type { TreeReader } from '../source/repository.js';
import { attestationInput, attestationsFor, readAttestation } from './attestation.js';
import { parseAttesters, PROVENANCE } from './attesters.js';

const PAYLOAD = 'application/vnd.in-toto+json';
const hash = 'a'.repeat(64);
const pairs = {
  ed25519: generateKeyPairSync('ed25519'),
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  stranger: generateKeyPairSync('ed25519'),
};
const pem = (name: keyof typeof pairs): string => pairs[name].publicKey.export({ type: 'spki', format: 'pem' }).toString(); // prettier-ignore
const block = (text: string): string => text.trim().replaceAll('\n', '\n      ');

const governed = (more = ''): string =>
  `apiVersion: countersign.dev/v1\nattesters:\n${(['ed25519', 'p256', 'p384', 'rsa'] as const)
    .map(
      (name) =>
        `  - name: ${name}\n    key: |\n      ${block(pem(name))}\n    builders: ["https://ci.example.org/*"]\n`,
    )
    .join('')}${more}`;
const { attesters, folder } = parseAttesters(governed());

const statement = (more: object = {}, sha256 = hash): object => ({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ name: 'registry.example.org/cart', digest: { sha256 } }],
  predicateType: PROVENANCE,
  predicate: {
    buildDefinition: {
      buildType: 'https://ci.example.org/make/v1',
      resolvedDependencies: [{ uri: 'git+https://git.example.org/acme/cart', digest: { gitCommit: 'c'.repeat(40) } }],
    },
    runDetails: { builder: { id: 'https://ci.example.org/runner/7' } },
  },
  ...more,
});

function seal(said: object, key: KeyObject, hashing: string | null, { keyid = '', type = PAYLOAD } = {}): Envelope {
  const payload = Buffer.from(JSON.stringify(said));
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  const sig = sign(hashing, signed, key).toString('base64');
  return { payload: payload.toString('base64'), payloadType: type, signatures: [{ ...(keyid ? { keyid } : {}), sig }] };
}
interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly object[];
}
const read = (envelope: object | string) =>
  readAttestation(typeof envelope === 'string' ? envelope : JSON.stringify(envelope), attesters);

describe('an attestation', () => {
  it.each([
    ['ed25519', null],
    ['p256', 'sha256'],
    ['p384', 'sha384'],
    ['p384', 'sha256'],
    ['rsa', 'sha256'],
  ] as const)('is verified under a governed %s key with %s', (name, hashing) => {
    expect(read(seal(statement(), pairs[name].privateKey, hashing))).toEqual({
      status: 'verified',
      attester: name,
      predicateType: PROVENANCE,
      subjects: [{ name: 'registry.example.org/cart', sha256: hash }],
      builder: 'https://ci.example.org/runner/7',
      buildType: 'https://ci.example.org/make/v1',
      sources: [{ uri: 'git+https://git.example.org/acme/cart', commit: 'c'.repeat(40) }],
    });
  });

  it('is verified inside a Sigstore bundle, by our key and not by what the bundle names', () => {
    const dsseEnvelope = seal(statement(), pairs.p256.privateKey, 'sha256');
    const bundle = {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { publicKey: { hint: 'somebody' }, tlogEntries: [] },
      dsseEnvelope,
    };
    expect(read(bundle)).toMatchObject({ status: 'verified', attester: 'p256' });
    const foreign = { ...bundle, dsseEnvelope: seal(statement(), pairs.stranger.privateKey, null) };
    expect(read(foreign)).toMatchObject({ status: 'rejected', fault: 'unknown-key' });
  });

  it('is rejected where it was changed after it was signed, whosever key it names', () => {
    const good = seal(statement(), pairs.ed25519.privateKey, null, { keyid: 'ed25519' });
    const forged = { ...good, payload: Buffer.from(JSON.stringify(statement({}, 'b'.repeat(64)))).toString('base64') };
    expect(read(forged)).toMatchObject({ status: 'rejected', fault: 'forged', reason: 'it names the key of ed25519, which did not sign it' }); // prettier-ignore
    expect(read(forged)).not.toHaveProperty('attester');
    const unnamed = { ...forged, signatures: [{ sig: (good.signatures[0] as { sig: string }).sig }] };
    expect(read(unnamed)).toMatchObject({ status: 'rejected', fault: 'unknown-key' });
    // The type is signed with the payload: the same bytes must not pass for something else.
    expect(read({ ...good, payloadType: 'text/plain' })).toMatchObject({ fault: 'malformed' });
  });

  it('is rejected of a stranger, for a builder or a statement that the key may not speak for', () => {
    expect(read(seal(statement(), pairs.stranger.privateKey, null))).toMatchObject({ fault: 'unknown-key' });
    const elsewhere = { predicate: { runDetails: { builder: { id: 'https://ci.example.org.evil.example/' } } } };
    expect(read(seal(statement(elsewhere), pairs.rsa.privateKey, 'sha256'))).toMatchObject({
      fault: 'builder-not-allowed',
      reason: 'rsa may not speak for the builder https://ci.example.org.evil.example/',
    });
    expect(read(seal(statement({ predicate: {} }), pairs.rsa.privateKey, 'sha256'))).toMatchObject({
      fault: 'builder-not-allowed',
    });
    expect(read(seal(statement({ predicateType: 'https://spdx.dev/Document' }), pairs.rsa.privateKey, 'sha256'))).toMatchObject({ fault: 'wrong-predicate', reason: 'rsa may not state https://spdx.dev/Document' }); // prettier-ignore
  });

  it.each([
    ['no JSON', 'hello'],
    ['no envelope', '{}'],
    ['two payloads', '{"payload":"e30=","payload":"e30=","payloadType":"x","signatures":[]}'],
    ['no statement', JSON.stringify(seal({ a: 1 }, pairs.ed25519.privateKey, null))],
    ['no subjects', JSON.stringify(seal(statement({ subject: 'all' }), pairs.ed25519.privateKey, null))],
  ])('that is %s is rejected as malformed', (_what, text) => {
    expect(read(text)).toMatchObject({ status: 'rejected', fault: 'malformed', subjects: [] });
  });
});

const pod = (image: string): KubernetesObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec: { containers: [{ image }] } }); // prettier-ignore
const treeOf = (files: Record<string, string>): TreeReader => ({
  tree: async (_commit, path) =>
    Object.keys(files)
      .filter((file) => file.startsWith(`${path}/`))
      .map((file) => ({ id: file, path: file, type: 'blob', mode: '100644' })),
  blob: async (id) => Buffer.from(files[id]),
});
const line = (sha256: string): string => JSON.stringify(seal(statement({}, sha256), pairs.ed25519.privateKey, null));

describe('the attestations of a repository', () => {
  const other = { subject: [{ name: 'registry.example.org/other', digest: { sha256: 'd'.repeat(64) } }] };

  it('are those of images that are used, by digest or by name, each with its line', async () => {
    const tree = treeOf({
      'attestations/cart.intoto.jsonl': `${line(hash)}\n\n${line('b'.repeat(64))}\n`,
      'attestations/other.json': JSON.stringify(seal(statement(other), pairs.ed25519.privateKey, null)),
      'attestations/broken.json': '{',
      'attestations/README.md': '# no attestation',
    });
    const image = `registry.example.org/cart:1.4@sha256:${hash}`;
    const found = await attestationsFor(tree, 'head', { folder, attesters }, [pod(image)]);
    expect(found.map(({ path, line: at, status }) => `${path}:${at} ${status}`)).toEqual([
      'attestations/cart.intoto.jsonl:1 verified',
      'attestations/cart.intoto.jsonl:3 verified',
      'attestations/broken.json:1 rejected',
    ]);
    expect(await attestationsFor(tree, 'head', { folder, attesters }, [{ ...pod(image), spec: {} }])).toEqual([]);
    expect(await attestationInput(tree, 'head', null, [pod(image)])).toEqual({});
  });

  it('that are more than can be looked at are a problem of the change', async () => {
    const tree = treeOf({ 'attestations/big.json': ' '.repeat(5 * 2 ** 20) });
    const { problem } = await attestationInput(tree, 'head', { folder, attesters }, [pod(`a@sha256:${hash}`)]);
    expect(problem).toMatchObject({ code: 'change-too-large', place: { file: 'attestations/big.json' } });
  });
});

function faultIn(text: string): unknown {
  try {
    return parseAttesters(text);
  } catch (thrown) {
    return thrown;
  }
}

describe('who is believed', () => {
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' }).toString(); // prettier-ignore
  const secret = pairs.stranger.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  it.each([
    ['a short key', `  - name: short\n    key: |\n      ${block(short)}\n`, /RSA of at least 2048 bits/],
    ['a private key', `  - name: secret\n    key: |\n      ${block(secret)}\n`, /no public key in PEM/],
    ['no key', '  - name: none\n    key: hello\n', /no public key in PEM/],
    [
      'one name twice',
      `  - name: rsa\n    key: |\n      ${block(pem('rsa'))}\n`,
      /"rsa" is already the name of another/,
    ],
    ['a field that is not known', `  - name: x\n    keys: []\n    key: |\n      ${block(pem('rsa'))}\n`, /keys/],
    ['a governed folder', 'folder: .countersign/x\n', /not governed itself/],
  ])('is refused with its place for %s', (_what, more, says) => {
    expect(() => parseAttesters(governed(more))).toThrow(says);
    expect(faultIn(governed(more))).toMatchObject({ code: 'config-invalid', place: { file: '.countersign/attesters.yaml' } }); // prettier-ignore
  });
});
