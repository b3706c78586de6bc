import { generateKeyPairSync } from 'node:crypto';
import { parseTree } from '../../src/adapters/git/trees.js';
import { isGenuine, deliveryOf, FORGES } from '../../src/api/webhook-delivery.js';
import { discover } from '../../src/change/discovered.js';
import { parseSettings } from '../../src/change/environments.js';
import { parseGroups, parseOwners } from '../../src/change/owners.js';
import { canonicalJson } from '../../src/cluster/canonical.js';
import { readManifest } from '../../src/cluster/manifest.js';
import { CountersignError } from '../../src/errors.js';
import { parseAllowedSigners } from '../../src/source/allowed-signers.js';
import { parseCommit } from '../../src/source/commit.js';
import { parseIdentities } from '../../src/source/identities.js';
import { decodePath, encodePath, isUnsafePath } from '../../src/source/path.js';
import { splitSignedPayload } from '../../src/source/signed-payload.js';
import { mergedTags, splitSignedTag, tagClaim } from '../../src/source/signed-tag.js';
import { wireString } from '../../src/source/ssh-wire.js';
import { mutated, randomNumbers } from '../support/mutations.js';

// More of it, with another seed each time: make soak.
const CASES = Number(process.env['CASES'] ?? 400);
const SEED = Number(process.env['SEED'] ?? 20_261);
/** Milliseconds for one input of a few thousand bytes, on a machine that is busy with other things. */
const PATIENCE = 5000;

const id = (digit: string) => digit.repeat(40);
const raw = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
const key = `ssh-ed25519 ${Buffer.concat([wireString('ssh-ed25519'), wireString(raw)]).toString('base64')}`;
const signature = '-----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----';
const people = 'author Ann <ann@example.org> 1700000000 +0100\ncommitter Bo <bo@example.org> 1700000060 -0330';
const tag = `object ${id('5')}\ntype commit\ntag v1\ntagger Ann <ann@example.org> 1700000000 +0100\n\nv1\n`;
const tree = (entries: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(entries.flatMap(([mode, name]) => [Buffer.from(`${mode} ${name}\0`), Buffer.alloc(20, name)]));

/** What each parser is made for, and what has to hold of all that it does not refuse. */
const PARSERS: Readonly<Record<string, { samples: readonly (string | Uint8Array)[]; read: (bytes: Buffer) => void }>> =
  {
    'commit objects': {
      samples: [
        `tree ${id('2')}\nparent ${id('3')}\n${people}\ngpgsig ${signature}\n\nsubject\n\nbody\n\nTicket: OPS-1\nReviewed-by: Bo\n`,
        `tree ${id('2')}\nparent ${id('3')}\nparent ${id('4')}\n${people}\nmergetag ${tag.trimEnd().replaceAll('\n', '\n ')}\n\nmerge\n`,
        Buffer.from(`tree ${id('2')}\n${people}\nencoding ISO-8859-1\n\ncaf\xe9\n`, 'latin1'),
      ],
      read: (bytes) => {
        for (const format of ['sha1', 'sha256'] as const) {
          const { payload, signatures } = splitSignedPayload(bytes, format);
          expect(signatures.reduce((sum, { length }) => sum + length, payload.length)).toBeLessThanOrEqual(
            bytes.length,
          );
        }
        expect(mergedTags(bytes).reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(bytes.length);
        const commit = parseCommit(id('1'), bytes);
        for (const named of [commit.tree, ...commit.parents]) expect(named).toMatch(/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/);
        for (const { time } of [commit.author, commit.committer]) expect(Date.parse(time)).not.toBeNaN();
        expect(commit.raw).toBe(bytes);
      },
    },
    'tag objects': {
      samples: [tag, `${tag}${signature}\n`, tag.replace('\n\n', `\ngpgsig-sha256 ${signature}\n\n`)],
      read: (bytes) => {
        const { payload, signatures } = splitSignedTag(bytes);
        expect(signatures.length).toBeLessThanOrEqual(1);
        expect(signatures.reduce((sum, { length }) => sum + length, payload.length)).toBeLessThanOrEqual(bytes.length);
        expect(typeof tagClaim(bytes).object).toBe('string');
      },
    },
    'tree objects': {
      samples: [tree([['100644', 'a.yaml'], ['40000', 'apps'], ['120000', 'link'], ['160000', 'module']]), tree([['100755', 'é']])], // prettier-ignore
      read: (bytes) => {
        const entries = parseTree(id('1'), bytes, 20);
        for (const { name } of entries) expect(name.includes('/') || isUnsafePath(name)).toBe(false);
        const again = entries.map(({ name, id: object }) => [encodePath(name), Buffer.from(object, 'hex')] as const);
        const size = again.reduce((sum, [name, object]) => sum + name.length + object.length + 2, 0);
        // Nothing is left over that nobody read: modes are what remains.
        expect(bytes.length - size).toBeGreaterThanOrEqual(0);
        for (const [name, object] of again) expect(bytes.includes(Buffer.concat([Buffer.from(' '), name, Buffer.from([0]), object]))).toBe(true); // prettier-ignore
      },
    },
    paths: {
      samples: ['apps/shop/a.yaml', 'caf\u00e9/x', '\\xE9/\\x5C', Buffer.from([0x61, 0xe9, 0x2f, 0xc3])],
      read: (bytes) => expect(encodePath(decodePath(bytes)).equals(bytes)).toBe(true),
    },
    allowed_signers: {
      samples: [
        `ann@example.org ${key}\n# comment\n"bo b"@example.org,*@ops.example.org namespaces="git,file" ${key} bo\n`,
        `*@example.org cert-authority,valid-after="20260101Z",valid-before="20270101000000Z" ${key}\n`,
      ],
      read: (bytes) => {
        const text = bytes.toString();
        const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('#'));
        const signers = parseAllowedSigners(text, 'f');
        // No line that says something is passed over.
        expect(signers).toHaveLength(lines.length);
        for (const { principals } of signers) expect(principals.length).toBeGreaterThan(0);
      },
    },
    'the identity map': {
      samples: [
        'apiVersion: countersign.dev/v1\npeople:\n  - person: ann\n    principals: [ann@example.org]\n    logins: [ann]\n    accounts: {github: [ann]}\n  - person: bo\n    principals: [bo@example.org]\n',
      ],
      read: (bytes) => {
        const { people: found, owners } = parseIdentities(bytes.toString(), 'f');
        expect([...owners.values()].every((person) => found.includes(person))).toBe(true);
      },
    },
    groups: {
      samples: ['apiVersion: countersign.dev/v1\ngroups: {payments: [bo@example.org], sre: [dee@example.org]}\n'],
      read: (bytes) => void parseGroups(bytes.toString(), 'f'),
    },
    owners: {
      samples: ['* ann@example.org\n/apps/ @sre\n[Cart][2] @payments\n/apps/cart/ bo@example.org # the shop\n'],
      read: (bytes) =>
        void parseOwners(bytes.toString(), { payments: ['bo@example.org'], sre: ['dee@example.org'] }, 'f'),
    },
    'countersign.yaml': {
      samples: [
        'apiVersion: countersign.dev/v1\nenvironments:\n  - name: shop/production\n    path: environments/production\n    ref: refs/heads/main\n    target: prod\n    namespace: shop\n    labels: {tier: production}\n    ignore: ["**/templates/**"]\npolicies: {path: policies, starter: {profile: baseline, off: []}}\n',
      ],
      read: (bytes) => {
        for (const { path, ref, name } of parseSettings(bytes.toString()).environments) {
          expect(path).not.toMatch(/^\/|(^|\/)\.\.(\/|$)/);
          expect(ref).toMatch(/^refs\//);
          expect(name).not.toBe('governance');
        }
      },
    },
    'manifests and what other tools define': {
      samples: [
        'apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop}\nspec:\n  source: {repoURL: "https://x", path: apps/shop, targetRevision: main}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "1"}\n',
        'apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: prod}\nspec: {path: ./apps, sourceRef: {kind: GitRepository, name: r}}\n',
        'apiVersion: v1\nkind: List\nitems:\n  - &a {apiVersion: v1, kind: Pod, metadata: {name: p}}\n  - <<: *a\n    metadata: {name: q}\n',
        'apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: s}\nspec:\n  generators: [{list: {elements: [{n: a}]}}]\n  template: {metadata: {name: "{{n}}"}, spec: {source: {repoURL: x, path: apps}}}\n',
      ],
      read: (bytes) => {
        const { objects } = readManifest('f', bytes);
        for (const { object, source } of objects) {
          expect(source.line).toBeGreaterThan(0);
          canonicalJson(object);
        }
        for (const { path } of discover(objects, new Set(['', 'apps', 'apps/shop'])).environments) {
          expect(path).not.toMatch(/^\/|(^|\/)\.\.(\/|$)/);
        }
      },
    },
    webhooks: {
      samples: ['{"ref":"refs/heads/main","repository":{"full_name":"shop"}}', '{}'],
      read: (bytes) => {
        const said = bytes.toString('latin1');
        const headers = { 'x-github-event': said, 'x-github-delivery': said, 'x-hub-signature-256': `sha256=${said}`, 'x-gitlab-token': said, 'x-gitea-signature': said }; // prettier-ignore
        for (const forge of FORGES) {
          expect(isGenuine(forge, headers, bytes, 'a secret nobody guesses')).toBe(false);
          expect(deliveryOf(forge, headers)?.id.length ?? 0).toBeLessThanOrEqual(200);
        }
      },
    },
  };

/** Of whole files: their faults name the file that they are in. */
const FILES = new Set(['allowed_signers', 'the identity map', 'groups', 'owners', 'countersign.yaml']);

function refusal(read: () => void): unknown {
  try {
    read();
    return undefined;
  } catch (thrown) {
    return thrown;
  }
}

describe('whatever is pushed or sent, a parser takes it or says what is wrong', () => {
  it.each(Object.entries(PARSERS))('%s', (name, { samples, read }) => {
    const next = randomNumbers(SEED);
    const good = samples.map((sample) => Buffer.from(sample as string));
    let refused = 0;
    for (let i = 0; i < CASES; i++) {
      const bytes = mutated(good, next);
      const start = performance.now();
      const fault = refusal(() => read(bytes));
      const told = fault === undefined || (fault instanceof CountersignError && fault.code !== 'internal' && fault.message !== '' && (!FILES.has(name) || fault.place !== undefined)); // prettier-ignore
      if (!told) throw new Error(`seed ${SEED}, case ${i}: ${JSON.stringify(bytes.toString('latin1').slice(0, 600))}`, { cause: fault }); // prettier-ignore
      if (fault) refused++;
      expect(performance.now() - start).toBeLessThan(PATIENCE);
    }
    expect(refused).toBeLessThan(CASES);
  });
});
