import { openCheckpoint, parseCheckpoint, signCheckpoint } from './checkpoint.js';
import { concatBytes, ed25519Signer, sha256, toBase64, utf8 } from './crypto.js';
import { noteSigner, openNote, parseVkey } from './note.js';

// The example in the documentation of Go's golang.org/x/mod/sumdb/note.
const neumann = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const saying = `If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
`;

const key = ed25519Signer(sha256(utf8('log')));
const log = noteSigner('countersign.example.org/test', key);
const other = noteSigner('other.example.org', ed25519Signer(sha256(utf8('other'))));
const checkpoint = { origin: 'countersign.example.org/test', size: 7, root: sha256(utf8('root')) };
const note = await signCheckpoint(checkpoint, log);

describe('signed note', () => {
  it('opens a note that another implementation signed', () => {
    const opened = openNote(saying, [parseVkey(neumann)]);
    expect(opened.text).toBe(saying.slice(0, saying.indexOf('\n\n') + 1));
  });

  it('refuses a changed text, and a bad signature by a known key even beside a good one', () => {
    const verifier = parseVkey(neumann);
    expect(() => openNote(saying.replace('answer', 'Answer'), [verifier])).toThrow('wrong');
    const forged = `${note}— other.example.org ${toBase64(concatBytes(Buffer.from(parseVkey(other.vkey).keyId, 'hex'), new Uint8Array(64)))}\n`;
    expect(() => openNote(forged, [parseVkey(log.vkey), parseVkey(other.vkey)])).toThrow('other.example.org');
    expect(openNote(forged, [parseVkey(log.vkey)]).signedBy).toHaveLength(1);
  });

  it('ignores sixteen signatures by unknown keys, and refuses a note that has only such', async () => {
    const strangers = await Promise.all(
      Array.from({ length: 16 }, (_, i) =>
        noteSigner(`s${i}.example.org`, ed25519Signer(sha256(utf8(`s${i}`)))).sign(
          note.slice(0, note.indexOf('\n\n') + 1),
        ),
      ),
    );
    expect(openNote(note + strangers.join(''), [parseVkey(log.vkey)]).signedBy).toHaveLength(1);
    expect(() => openNote(note, [parseVkey(other.vkey)])).toThrow('no signature by a trusted key');
  });

  it.each([
    ['no newline at the end', note.slice(0, -1)],
    ['no empty line', note.replace('\n\n', '\n')],
    ['a carriage return', note.replace('\n', '\r\n')],
    ['a hyphen for the dash', note.replace('—', '-')],
    ['base64 without padding', note.replace(/=\n$/, '\n')],
    ['base64 with stray bits', note.replace(/.==?\n$/, (end) => `${end[0] === 'B' ? 'C' : 'B'}${end.slice(1)}`)],
    ['a third word', note.replace(/\n$/, ' x\n')],
    ['a lone surrogate', note.replace('7', '\ud800')],
    ['nothing', ''],
  ])('refuses a note with %s', (_what, text) => {
    expect(() => openNote(text, [parseVkey(log.vkey)])).toThrow(
      expect.objectContaining({ code: 'note-invalid' }) as Error,
    );
  });

  it.each([
    '',
    'x',
    'x+00000000+AQ==',
    neumann.replace('c74f20a3', 'c74f20a4'),
    neumann.replace('Peter', 'Pater'),
    `${neumann} `,
  ])('refuses the vkey %j', (vkey) => {
    expect(() => parseVkey(vkey)).toThrow(expect.objectContaining({ code: 'keys-invalid' }) as Error);
  });

  it('signs what itself can open, under the same key id as its vkey', async () => {
    expect(openCheckpoint(note, parseVkey(log.vkey))).toMatchObject({ size: 7, origin: checkpoint.origin });
    expect(await signCheckpoint(checkpoint, log)).toBe(note);
  });

  it('checks cosignature/v1 of witnesses with the time they state', async () => {
    const witness = ed25519Signer(sha256(utf8('witness')));
    const typed = concatBytes(new Uint8Array([4]), witness.publicKey);
    const id = sha256(utf8('witness.example.org\n'), typed).subarray(0, 4);
    const vkey = parseVkey(`witness.example.org+${Buffer.from(id).toString('hex')}+${toBase64(typed)}`);
    const text = note.slice(0, note.indexOf('\n\n') + 1);
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_790_000_000n);
    const signature = await witness.sign(utf8(`cosignature/v1\ntime 1790000000\n${text}`));
    const line = (at: Uint8Array): string => `— witness.example.org ${toBase64(concatBytes(id, at, signature))}\n`;
    expect(openCheckpoint(note + line(time), parseVkey(log.vkey), [vkey]).signedBy).toHaveLength(2);
    time.writeBigUInt64BE(1_790_000_001n);
    expect(() => openCheckpoint(note + line(time), parseVkey(log.vkey), [vkey])).toThrow('witness.example.org');
  });
});

describe('checkpoint', () => {
  const root = toBase64(checkpoint.root);
  it('tolerates extension lines', () => {
    expect(parseCheckpoint(`o\n7\n${root}\nmore\n`).size).toBe(7);
  });

  it.each([
    `o\n07\n${root}\n`,
    `o\n-7\n${root}\n`,
    `o\n7.0\n${root}\n`,
    `\n7\n${root}\n`,
    `o\n7\n${root}`,
    `o\n7\n${root.slice(4)}\n`,
    `o\n7\n${root}\n\n`,
    `o\n99999999999999999999\n${root}\n`,
    'o\n7\n',
  ])('refuses the text %j', (text) => {
    expect(() => parseCheckpoint(text)).toThrow('no checkpoint');
  });

  it('refuses the checkpoint of another log, though signed by the trusted key', async () => {
    const foreign = await signCheckpoint({ ...checkpoint, origin: 'elsewhere.example.org' }, log);
    expect(() => openCheckpoint(foreign, parseVkey(log.vkey))).toThrow('elsewhere.example.org');
  });
});
