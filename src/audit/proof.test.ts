import { signCheckpoint } from './checkpoint.js';
import { ed25519Signer, sha256, toHex, utf8 } from './crypto.js';
import { envelopeKey, envelopeSigners } from './dsse.js';
import type { Inclusion } from './ledger.js';
import { leafHash, proveInclusion, rootOf } from './merkle.js';
import type { NodeReader } from './merkle.js';
import { noteCosigner, noteSigner, parseVkey } from './note.js';
import { parseTrust, trustIn } from './policy-file.js';
import { isProvenEntry, ProvenEntry, verifyInclusion } from './proof.js';
import { contentsOf, entryOf, parseStatement, sealStatement } from './statement.js';

const log = noteSigner('log.example.org', ed25519Signer(sha256(utf8('log'))));
const entryKey = ed25519Signer(sha256(utf8('entries')));
const time = '2026-11-21T02:00:00.000Z';
const draft = (n: number) => ({
  type: 'decision' as const,
  subjects: [{ name: 'shop/production', digest: { gitCommit: 'a'.repeat(40) } }],
  predicate: { outcome: n === 2 ? 'allow' : 'deny', n },
});
const sealed = await Promise.all([0, 1, 2, 3, 4].map((n) => sealStatement(draft(n), time, {}, entryKey)));
const leaves = sealed.map(({ leaf }) => leaf);
const hashes = leaves.map(leafHash);
const reader: NodeReader = (nodes) =>
  Promise.resolve(nodes.map(({ level, index }) => rootOf(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level))));
const trust = trustIn(parseVkey(log.vkey));

async function inclusionOf(index: number): Promise<Inclusion> {
  const checkpoint = await signCheckpoint({ origin: 'log.example.org', size: 5, root: rootOf(hashes) }, log);
  const proof = (await proveInclusion(index, 5, reader)).map(toHex);
  return { entry: entryOf(index, leaves[index]), checkpoint, treeSize: 5, proof };
}

describe('proof of an entry (invariant 1)', () => {
  it('accepts what the log includes', async () => {
    const proven = verifyInclusion(await inclusionOf(2), trust);
    expect(isProvenEntry(proven)).toBe(true);
    expect(proven.entry.predicate).toMatchObject({ outcome: 'allow' });
    expect(proven.checkpoint.size).toBe(5);
  });

  it('takes the predicate from the proven leaf, not from what stands beside it', async () => {
    const honest = await inclusionOf(1);
    const lying = { ...honest, entry: { ...honest.entry, predicate: { outcome: 'allow' } } };
    expect(verifyInclusion(lying, trust).entry.predicate).toMatchObject({ outcome: 'deny' });
  });

  it('does not follow a later change of the bytes it was given, and cannot itself be changed', async () => {
    const inclusion = await inclusionOf(2);
    const given = Buffer.from(inclusion.entry.envelope);
    const proven = verifyInclusion({ ...inclusion, entry: { ...inclusion.entry, envelope: given } }, trust);
    given.fill(0);
    expect(proven.entry.envelope.equals(Buffer.from(leaves[2]))).toBe(true);
    expect(() => Object.assign(proven.entry.predicate, { outcome: 'deny' })).toThrow(TypeError);
  });

  it('refuses another index, leaf, proof, size, key', async () => {
    const good = await inclusionOf(2);
    const bad: Inclusion[] = [
      { ...good, entry: { ...good.entry, index: 3 } },
      { ...good, entry: { ...good.entry, envelope: Buffer.from(leaves[3]) } },
      { ...good, proof: good.proof.slice(1) },
      { ...good, proof: good.proof.map((hash) => hash.toUpperCase()) },
      { ...good, treeSize: 6 },
    ];
    for (const inclusion of bad) {
      expect(() => verifyInclusion(inclusion, trust)).toThrow(
        expect.objectContaining({ code: 'proof-invalid' }) as Error,
      );
    }
    const stranger = trustIn(parseVkey(noteSigner('log.example.org', ed25519Signer(sha256(utf8('x')))).vkey));
    expect(() => verifyInclusion(good, stranger)).toThrow(expect.objectContaining({ code: 'note-invalid' }) as Error);
  });

  it('is made by nothing else: no constructor, cast, prototype or copy passes', async () => {
    const proven = verifyInclusion(await inclusionOf(2), trust);
    const casts: unknown[] = [
      { entry: proven.entry, checkpoint: proven.checkpoint },
      Object.create(ProvenEntry.prototype),
      Object.assign(Object.create(ProvenEntry.prototype) as object, { proven }),
      new Proxy(proven, {}),
      null,
    ];
    for (const cast of casts) expect(isProvenEntry(cast)).toBe(false);
    const forged = ProvenEntry as unknown as new (key: symbol, entry: unknown, checkpoint: unknown) => ProvenEntry;
    expect(() => new forged(Symbol('made by verifyInclusion'), proven.entry, proven.checkpoint)).toThrow(
      'only verifyInclusion',
    );
  });
});

describe('entries', () => {
  it('are DSSE envelopes over in-toto statements, signed by the entry key', () => {
    const { envelope, type, time: recorded } = parseStatement(leaves[0]);
    expect([type, recorded, envelope.payloadType]).toEqual(['decision', time, 'application/vnd.in-toto+json']);
    expect(envelopeSigners(envelope, [envelopeKey(entryKey.publicKey)])).toHaveLength(1);
    expect(envelopeSigners(envelope, [envelopeKey(ed25519Signer(sha256(utf8('x'))).publicKey)])).toHaveLength(0);
  });

  it('are refused when longer than a tile can hold', async () => {
    const long = { ...draft(0), predicate: { text: 'x'.repeat(60_000) } };
    await expect(sealStatement(long, time, {}, entryKey)).rejects.toThrow('65535');
  });

  it('say to who sealed them what anybody reads from their leaf', () => {
    for (const { leaf, ...said } of sealed) {
      const { envelope: _, ...read } = parseStatement(leaf);
      expect(said).toEqual(read);
    }
  });

  it.each([
    ['an integer beyond 2^53', { n: 2 ** 60 }],
    ['half of a surrogate pair', { text: 'a\ud800' }],
  ])('are refused before they are signed when nobody could read them back: %s', async (_what, predicate) => {
    await expect(sealStatement({ ...draft(0), predicate }, time, {}, entryKey)).rejects.toMatchObject({
      code: 'log-invalid',
    });
  });

  it('refuses malformed contents, payloads and types', () => {
    expect(() => contentsOf({ contents: { input: { mediaType: 'a', sha256: '../x', salted: false } } })).toThrow(
      'input',
    );
    expect(contentsOf({})).toEqual(new Map());
    expect(() => parseStatement(utf8('{}'))).toThrow('DSSE');
    expect(() => parseStatement(utf8('{'))).toThrow('no JSON');
    const text = Buffer.from(leaves[0]).toString();
    expect(() => parseStatement(utf8(text.replace('vnd.in-toto', 'other')))).toThrow('other');
  });
});

const witness = (name: string): string => noteCosigner(name, ed25519Signer(sha256(utf8(name)))).vkey;

describe('trust file', () => {
  it('may be a vkey and nothing else, or a tlog-policy', () => {
    expect(parseTrust(`\n${log.vkey}\n`, 'trust.txt').log.name).toBe('log.example.org');
    const policy = `# ours\nlog ${log.vkey}\nwitness a ${witness('a')}\nwitness b ${witness('b')} https://b\ngroup g 2 a b\nquorum g\n`;
    const trust = parseTrust(policy, 'trust.txt');
    expect(trust.quorum).toBe('2 of 2 witnesses');
    expect(trust.quorumReached([trust.log, trust.witnesses[0]])).toBe(false);
    expect(trust.quorumReached(trust.witnesses)).toBe(true);
  });

  it.each([
    ['', '0 logs'],
    [`log ${log.vkey}\nlog ${noteSigner('b', entryKey).vkey}\n`, '2 logs'],
    [`log ${log.vkey}\nlog ${log.vkey}\n`, 'named twice'],
    [`log ${log.vkey}\nwitness a ${noteSigner('a', entryKey).vkey}\nquorum a\n`, 'signs no time'],
    [`log ${log.vkey}\nwitness a ${witness('a')}\ngroup g 1 a\ngroup h 1 a\nquorum g\n`, 'in a group already'],
    [`log ${log.vkey}\nwitness a ${witness('a')}\n`, 'no quorum'],
    [`log ${log.vkey}\nquorum x\n`, 'not defined'],
    [`log ${log.vkey}\nwitness a ${witness('a')}\ngroup g 2 a\nquorum g\n`, 'cannot ask'],
    [`log ${log.vkey}\nfoo bar\n`, 'none of'],
    ['garbage', 'not the key'],
  ])('refuses %j', (text, why) => {
    expect(() => parseTrust(text, 'trust.txt')).toThrow(why);
  });
});
