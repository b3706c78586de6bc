import { CountersignError } from '../errors.js';
import type { Checkpoint, SignedCheckpoint } from './checkpoint.js';
import { openCheckpoint, parseCheckpoint } from './checkpoint.js';
import type { Hash } from './crypto.js';
import { equalBytes, fromBase64, fromUtf8, toBase64, toHex, utf8 } from './crypto.js';
import type { EnvelopeKey } from './dsse.js';
import { envelopeKey, signedByAny } from './dsse.js';
import type { LoggedEntry } from './entry.js';
import { erasedBy } from './erasure.js';
import type { Evidence, Manifest } from './evidence.js';
import {
  belongs,
  claimedReach,
  contentName,
  evidenceFiles,
  evidenceLimits,
  handoverNumber,
  invalid,
  openManifest,
  readmeDigest,
} from './evidence.js';
import { HashTiles } from './hash-tiles.js';
import { Frontier, leafHash } from './merkle.js';
import { bodiesWithin, type Reach, reachOfPlaces } from './reach.js';
import { openNote, parseNote, parseVkey } from './note.js';
import type { Trust } from './policy-file.js';
import { Precedence } from './precedence.js';
import type { ContentReader } from './replay.js';
import type { Replay } from './replay.js';
import type { Evaluator } from '../policy/evaluator.js';
import type { EnvelopedStatement } from './statement.js';
import { contentsOf, entryOfStatement, parseStatement } from './statement.js';
import { Succession } from './succession.js';
import { TextSet } from './text-set.js';
import { decodeEntries, tilePath, tilesOf, tileWidth } from './tiles.js';

/** One thing that was proven: a sentence, and what it rests on. */
export interface Proven {
  readonly claim: string;
  readonly detail: string;
}

export interface Verification {
  readonly origin: string;
  readonly size: number;
  /** base64 */
  readonly root: string;
  readonly proven: readonly Proven[];
  /** What a correct file can't show, and the service's word stands for. */
  readonly onItsWord: readonly string[];
  /** The first thing wrong; undefined if all holds. */
  readonly fault: CountersignError | undefined;
}

export interface VerifyOptions {
  readonly trust: Trust;
  /** Judges decisions again; without it they are counted among what rests on the service's word. */
  readonly evaluator?: Evaluator;
  /** A checkpoint that the auditor kept from earlier. */
  readonly earlier?: string;
  /** Checkpoints that others kept, and where: `commit 1f3c… of shop`. */
  readonly anchors?: readonly { readonly where: string; readonly note: string }[];
  readonly progress?: (entries: number, of: number) => void;
  /** Hears of each entry in its order, once its own signature was checked; what all of them add up to is known only in the end. */
  readonly hear?: (entry: LoggedEntry) => Promise<void> | undefined;
}

const saltBytes = 32;
const number = new Intl.NumberFormat('en-US');
const count = (n: number, what: string): string => `${number.format(n)} ${what}${n === 1 ? '' : 's'}`;

/** Checks exported evidence in one pass, in bounded memory. Never throws for what is wrong with the evidence: it says so. */
export async function verifyEvidence(evidence: Evidence, options: VerifyOptions): Promise<Verification> {
  const verifier = new Verifier(evidence, options);
  if (options.evaluator) await verifier.judgeAgain(options.evaluator);
  let fault: CountersignError | undefined;
  try {
    await verifier.run();
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    fault = error;
  }
  const { checkpoint, proven, onItsWord } = verifier;
  const { origin = options.trust.log.name, size = 0, root = new Uint8Array() } = checkpoint ?? {};
  return { origin, size, root: toBase64(root), proven, onItsWord: fault ? [] : onItsWord, fault };
}

class Verifier {
  checkpoint: SignedCheckpoint | undefined;
  readonly proven: Proven[] = [];
  readonly onItsWord: string[] = [];

  readonly #keys = new Map<string, EnvelopeKey>();
  readonly #precedence = new Precedence();
  readonly #checked = new TextSet();
  readonly #missing = new Map<string, number>();
  /** What erasures say that they took away, and how many there were. */
  readonly #erased = new TextSet();
  #erasures = 0;
  /** The same of what went because it had been kept as long as was asked for. */
  readonly #expired = new TextSet();
  #expiries = 0;
  /** Of whom a bundle is that may not see everything; and what is not in it, as nothing of theirs names it. */
  #reach: Reach | undefined;
  readonly #beyond = new TextSet();
  #beyondCount = 0;
  readonly #beyondDecisions: number[] = [];
  #replay: Replay | undefined;
  /** Roots at the sizes that somebody kept a checkpoint of. */
  readonly #roots = new Map<number, Hash | undefined>();
  #note = '';
  #succession: Succession | undefined;
  /** Vkeys of the log that its entries name, those that are retired too. */
  readonly #logKeys = new Set<string>();
  #named = 0;
  #before: string | undefined;

  constructor(
    private readonly evidence: Evidence,
    private readonly options: VerifyOptions,
  ) {}

  /** Loaded only here: whoever does not replay, such as a browser, needs none of what judging takes. */
  async judgeAgain(evaluator: Evaluator): Promise<void> {
    const module = await import('./replay.js');
    this.#replay = new module.Replay(evaluator, this.#content);
  }

  async run(): Promise<void> {
    this.#checkNames();
    const claimed = await this.#openCheckpoint();
    const earlier = this.#openEarlier(claimed);
    await this.#readReach();
    const anchors = this.#openAnchors(claimed);
    await this.#readEntries(claimed);
    const checkpoint =
      this.checkpoint ?? this.#believe(this.#succession!.open(this.#note, this.options.trust.witnesses));
    this.#sayWhatIsThere(checkpoint);
    this.#checkEarlier(checkpoint, earlier);
    this.#checkAnchors(anchors);
    const manifest = await this.#checkManifest(checkpoint);
    this.#checkContents(manifest);
    this.#checkRuns();
    await this.#checkReplay();
    this.#sayWhatIsNotProven(checkpoint, manifest);
  }

  #checkNames(): void {
    const { kind, names } = this.evidence;
    const stranger = [...names].find((name) => !belongs(name, kind));
    if (stranger !== undefined)
      throw invalid(`it holds a file that does not belong there: ${JSON.stringify(stranger)}`);
  }

  /** Where no key signed it that is believed yet, only what it says: `#believe` follows when the entries were read. */
  async #openCheckpoint(): Promise<Checkpoint> {
    const { log, witnesses } = this.options.trust;
    this.#note = fromUtf8(await this.evidence.read(evidenceFiles.checkpoint, evidenceLimits.note)) ?? '';
    const handovers = [...this.evidence.names].filter((name) => handoverNumber(name) !== undefined);
    const notes = handovers.map(async (name) => fromUtf8(await this.evidence.read(name, evidenceLimits.note)) ?? '');
    this.#succession = new Succession(log, await Promise.all(notes));
    const claimed = parseCheckpoint(parseNote(this.#note).text);
    if (handovers.length > 0 && claimed.origin === log.name) return claimed;
    return this.#believe(openCheckpoint(this.#note, log, witnesses));
  }

  #believe(checkpoint: SignedCheckpoint): SignedCheckpoint {
    const { trust } = this.options;
    if (!trust.quorumReached(checkpoint.signedBy))
      throw invalid(`the checkpoint lacks its ${trust.quorum}`, 'checkpoint');
    return (this.checkpoint = checkpoint);
  }

  /** The auditor's own: whether it is signed matters less than that the log begins with it. Its key is judged when the log has named all. */
  #openEarlier(checkpoint: Checkpoint): Checkpoint | undefined {
    if (this.options.earlier === undefined) return undefined;
    const earlier = parseCheckpoint(parseNote(this.options.earlier).text);
    if (earlier.size > checkpoint.size) {
      throw invalid(
        `the log once had ${number.format(earlier.size)} entries, this evidence has ${number.format(checkpoint.size)}`,
      );
    }
    this.#roots.set(earlier.size, undefined);
    return earlier;
  }

  /** Those that this log signed; what others put there proves nothing, and is told. */
  #openAnchors(checkpoint: Checkpoint): readonly (SignedCheckpoint & { readonly where: string })[] {
    const { anchors = [], trust } = this.options;
    const opened: (SignedCheckpoint & { readonly where: string })[] = [];
    for (const { where, note } of anchors) {
      try {
        opened.push({ ...openCheckpoint(note, trust.log), where });
      } catch (error) {
        if (!(error instanceof CountersignError)) throw error;
        this.onItsWord.push(`the checkpoint anchored in ${where} is not signed by this log, so that it proves nothing`);
      }
    }
    const longer = opened.find(({ size }) => size > checkpoint.size);
    if (longer) {
      throw new CountersignError(
        'bundle-invalid',
        `the log had ${number.format(longer.size)} entries by the checkpoint anchored in ${longer.where}, this evidence has ${number.format(checkpoint.size)}: it was rolled back, or exported before that`,
        { remedy: 'Ask for evidence up to that checkpoint' },
      );
    }
    for (const { size } of opened) this.#roots.set(size, undefined);
    return opened;
  }

  #checkAnchors(anchors: readonly (SignedCheckpoint & { readonly where: string })[]): void {
    for (const { size, root, where } of anchors) {
      if (equalBytes(this.#roots.get(size) ?? new Uint8Array(), root)) continue;
      throw invalid(
        `the log was forked: its first ${number.format(size)} entries are not those of the checkpoint anchored in ${where}`,
      );
    }
    const largest = Math.max(0, ...anchors.map(({ size }) => size));
    if (anchors.length === 0) return;
    this.proven.push({
      claim: `consistent with ${count(anchors.length, 'checkpoint')} anchored in Git`,
      detail: `the newest of ${count(largest, 'entry').replace('entrys', 'entries')}`,
    });
  }

  /** Every leaf, from bytes to root; what entries claim of each other is checked on the way. */
  async #readEntries(checkpoint: Checkpoint): Promise<void> {
    const frontier = new Frontier();
    const hashes = new HashTiles(this.evidence, checkpoint.size);
    for (const tile of tilesOf(checkpoint.size)) {
      if (tile.level !== 'entries') break;
      const name = tilePath(tile);
      if (!this.evidence.names.has(name)) throw invalid(`entries ${tile.index * tileWidth} … are missing`, name);
      const leaves = decodeEntries(await this.evidence.read(name, evidenceLimits.entries), tile.width);
      for (const leaf of leaves) {
        this.#look(frontier);
        const index = frontier.size;
        const hash = leafHash(leaf);
        await hashes.check(index, hash, frontier);
        await this.#readEntry(index, leaf, hash);
      }
      this.options.progress?.(frontier.size, checkpoint.size);
    }
    this.#look(frontier);
    if (!equalBytes(frontier.root(), checkpoint.root)) {
      throw invalid(
        `the ${number.format(frontier.size)} entries give the root ${toBase64(frontier.root())}, signed is ${toBase64(checkpoint.root)}: an entry was changed, dropped or moved`,
      );
    }
    const surplus = [...this.evidence.names].find((name) => name.startsWith('tile/') && !hashes.belongs(name));
    if (surplus !== undefined) throw invalid('it holds a tile that is not of this tree', surplus);
  }

  /** At a size where somebody promised a root. */
  #look(frontier: Frontier): void {
    this.#keepRoot(frontier);
    if (this.#succession!.isHandover(frontier.size)) this.#succession!.handOver(frontier.size, frontier.root());
  }

  #sayWhatIsThere(checkpoint: SignedCheckpoint): void {
    const range = checkpoint.size === 0 ? 'no entries yet,' : `entries 0 … ${number.format(checkpoint.size - 1)}`;
    const signers = checkpoint.signedBy.map((key) => key.name).join(', ');
    this.proven.push({
      claim: `${range} complete and unaltered`,
      detail: `root ${toBase64(checkpoint.root).slice(0, 8)}…, signed by ${signers}`,
    });
    this.#sayWhoWitnessed(checkpoint);
    const { followers } = this.#succession!;
    if (followers.length > 0) {
      this.proven.push({
        claim: `the log's key handed over ${followers.length === 1 ? 'once' : `${followers.length} times`}`,
        detail: `each to one that it named and signed for, last ${followers.at(-1)!.keyId}`,
      });
    }
    this.proven.push({
      claim: 'every entry signed by a key that the log names',
      detail: count(this.#named, 'key'),
    });
  }

  #keepRoot(frontier: Frontier): void {
    if (this.#roots.has(frontier.size)) this.#roots.set(frontier.size, frontier.root());
  }

  #sayWhoWitnessed({ cosignedAt }: SignedCheckpoint): void {
    if (cosignedAt.size === 0) return;
    const last = new Date(Math.max(...cosignedAt.values()) * 1000).toISOString().replace('.000', '');
    const { witnesses, quorum } = this.options.trust;
    this.proven.push({
      claim: `${cosignedAt.size} of ${witnesses.length} ${witnesses.length === 1 ? 'witness agrees' : 'witnesses agree'}`,
      detail: `asked for: ${quorum}; last at ${last}`,
    });
  }

  async #readReach(): Promise<void> {
    if (this.evidence.kind === 'tiles' || !this.evidence.names.has(evidenceFiles.manifest)) return;
    const places = claimedReach(await this.evidence.read(evidenceFiles.manifest, evidenceLimits.manifest));
    if (places) this.#reach = reachOfPlaces(places);
  }

  async #readEntry(index: number, leaf: Uint8Array, hash: Hash): Promise<void> {
    let statement: EnvelopedStatement;
    try {
      statement = parseStatement(leaf);
    } catch (cause) {
      throw invalid(`entry ${index}: ${(cause as Error).message}`);
    }
    const entry = entryOfStatement(index, leaf, hash, statement);
    if (entry.type === 'key') this.#learnKey(entry);
    if (entry.type === 'key') this.#succession!.read(entry);
    if (!signedByAny(statement.envelope, this.#keys)) {
      throw invalid(`entry ${index} was changed, or never signed: no signature by a key that the log named before it`);
    }
    const within = this.#reach === undefined || bodiesWithin(this.#reach, entry);
    for (const [role, { sha256 }] of contentsOf(entry.predicate)) await this.#checkContent(sha256, index, within || role === 'erased'); // prettier-ignore
    if (!within && entry.type === 'decision') this.#beyondDecisions.push(index);
    if (entry.type === 'genesis') this.#readGenesis(entry);
    if (entry.type === 'erasure') await this.#readErasure(entry);
    this.#precedence.read(entry);
    if (entry.type === 'decision') await this.#replay?.add(entry);
    const heard = this.options.hear?.(entry);
    if (heard) await heard;
  }

  /** A key entry must be signed by the key it names, or by one before it: nobody can log a key that is not theirs alone. */
  #learnKey(entry: LoggedEntry): void {
    const text = entry.predicate['publicKey'];
    const key = typeof text === 'string' ? fromBase64(text) : undefined;
    if (entry.predicate['use'] === 'checkpoint-signing') {
      for (const member of ['vkey', 'follows'])
        if (typeof entry.predicate[member] === 'string') this.#logKeys.add(entry.predicate[member]);
    }
    if (entry.predicate['use'] !== 'entry-signing') return;
    if (key?.length !== 32) throw invalid(`entry ${entry.index} names a key that is none`);
    const known = envelopeKey(key);
    // From here on it signs nothing, this entry included: a thief of an old key comes too late.
    if (entry.predicate['phase'] === 'retired') {
      this.#keys.delete(known.keyid);
      return;
    }
    this.#keys.set(known.keyid, known);
    this.#named += 1;
  }

  /** Of a checkpoint that the auditor kept: by any key that the log has had. Throws `note-invalid`. */
  #openByAnyKey(note: string): void {
    const { log } = this.options.trust;
    const named = [...this.#logKeys].map((vkey) => parseVkey(vkey)).filter(({ name }) => name === log.name);
    openNote(note, [log, ...named.filter(({ vkey }) => vkey !== log.vkey)]);
    const { origin } = parseCheckpoint(parseNote(note).text);
    if (origin !== log.name) throw invalid(`the checkpoint you gave is of the log ${origin}, not of ${log.name}`);
  }

  /** A log that was opened because another lost its end says so; what was lost is proven by nobody. */
  #readGenesis({ index, predicate: { of, predecessor } }: LoggedEntry): void {
    if (of !== 'log') return;
    const { origin, size, held } = (predecessor ?? {}) as Record<string, unknown>;
    if (typeof size !== 'number' || typeof held !== 'number')
      throw invalid(`entry ${index} names no log before this one`);
    this.#before = `what came before this log: it follows the log ${String(origin)} of ${number.format(size)} entries, of which ${number.format(size - held)} were lost`;
  }

  async #readErasure({ predicate }: LoggedEntry): Promise<void> {
    const list = contentsOf(predicate).get('erased');
    const bytes = list && (await this.#content(list));
    if (!bytes) return;
    const expired = predicate['by'] === 'retention';
    if (expired) this.#expiries += 1;
    else this.#erasures += 1;
    for (const digest of erasedBy(bytes)) (expired ? this.#expired : this.#erased).add(digest);
  }

  async #checkContent(digest: string, index: number, within: boolean): Promise<void> {
    if (this.#checked.has(digest) || this.#missing.has(digest)) return;
    const name = contentName(digest);
    if (!this.evidence.names.has(name)) {
      if (!within) {
        if (!this.#beyond.has(digest)) this.#beyondCount += 1;
        this.#beyond.add(digest);
        return;
      }
      if (this.#beyond.has(digest)) this.#beyondCount -= 1;
      if (this.evidence.kind === 'tiles') return; // a mirror lacks what was erased, static tiles lack all
      // Its own characters only: a slice would keep the whole entry in memory.
      this.#missing.set(fromUtf8(utf8(digest))!, index);
      return;
    }
    if (toHex(await this.evidence.digest(name)) !== digest) {
      throw invalid(`a content that entry ${index} names was changed`, name);
    }
    this.#checked.add(digest);
  }

  readonly #content: ContentReader = async ({ sha256, salted }) => {
    if (!this.#checked.has(sha256)) return undefined;
    const bytes = await this.evidence.read(contentName(sha256), evidenceLimits.content);
    return salted ? bytes.subarray(saltBytes) : bytes;
  };

  #checkEarlier(checkpoint: SignedCheckpoint, earlier: Checkpoint | undefined): void {
    if (!earlier) return;
    this.#openByAnyKey(this.options.earlier!);
    if (!equalBytes(this.#roots.get(earlier.size) ?? new Uint8Array(), earlier.root)) {
      throw invalid(
        `the log was forked: its first ${number.format(earlier.size)} entries are not those of the checkpoint you gave`,
      );
    }
    this.proven.push({
      claim: 'consistent with the checkpoint you gave',
      detail: `${number.format(earlier.size)} of ${number.format(checkpoint.size)} entries`,
    });
  }

  async #checkManifest(checkpoint: SignedCheckpoint): Promise<Manifest | undefined> {
    if (this.evidence.kind === 'tiles') return undefined;
    const bytes = await this.evidence.read(evidenceFiles.manifest, evidenceLimits.manifest);
    const manifest = openManifest(bytes, this.#keys.values());
    if (manifest.origin !== checkpoint.origin || manifest.size !== checkpoint.size) {
      throw invalid('the manifest is of another export', evidenceFiles.manifest);
    }
    const readme = fromUtf8(await this.evidence.read(evidenceFiles.readme, evidenceLimits.note)) ?? '';
    if (readmeDigest(readme) !== manifest.readme) throw invalid('the README was changed', evidenceFiles.readme);
    return manifest;
  }

  #checkContents(manifest: Manifest | undefined): void {
    if (!manifest) {
      if (this.#checked.size > 0)
        this.proven.push({
          claim: `${count(this.#checked.size, 'content')}, as their entries name them`,
          detail: 'what else they name is not here',
        });
      return;
    }
    const withheld = new Set(manifest.withheld);
    for (const [digest, index] of this.#missing) {
      if (!withheld.has(digest)) throw invalid(`a content that entry ${index} names is missing`, contentName(digest));
    }
    const contents = [...this.evidence.names].filter((name) => name.startsWith('content/'));
    const surplus = contents.find((name) => !this.#checked.has(name.slice('content/'.length)));
    if (surplus !== undefined) throw invalid('it holds a content that no entry names', surplus);
    if (this.#checked.size + withheld.size === 0) return;
    const erased = manifest.withheld.filter((digest) => this.#erased.has(digest) && !this.#isBeyond(digest)).length;
    const beyond = manifest.withheld.filter(this.#isBeyond).length;
    const expired = manifest.withheld.filter((digest) => this.#expired.has(digest) && !this.#erased.has(digest) && !this.#isBeyond(digest)).length; // prettier-ignore
    if (beyond !== this.#beyondCount)
      throw invalid('the manifest does not name all that its reader may not see', evidenceFiles.manifest);
    const kept = withheld.size - erased - expired - beyond;
    const gone = [
      ...(erased > 0 ? [`${number.format(erased)} erased, as ${count(this.#erasures, 'erasure')} in the log ${this.#erasures === 1 ? 'says' : 'say'}`] : []), // prettier-ignore
      ...(expired > 0 ? [`${number.format(expired)} withheld by retention, as ${count(this.#expiries, 'removal')} in the log ${this.#expiries === 1 ? 'says' : 'say'}`] : []), // prettier-ignore
      ...(beyond > 0 ? [`${number.format(beyond)} of what is not for the reader of this bundle`] : []),
      ...(kept > 0 ? [`${number.format(kept)} withheld`] : []),
    ];
    this.proven.push({
      claim: `${count(this.#checked.size, 'content')}, as their entries name them`,
      detail: gone.length === 0 ? 'none missing' : `${gone.join(', ')}; their digests stay`,
    });
    if (kept > 0)
      this.onItsWord.push(`${count(kept, 'content')} that the service withheld, and no removal in the log took away`);
  }

  /** Named by nothing that is for the reader. */
  readonly #isBeyond = (digest: string): boolean => this.#beyond.has(digest) && !this.#missing.has(digest);

  #checkRuns(): void {
    const { runs, exceptions, unfinished } = this.#precedence;
    if (exceptions.size > 0) {
      this.proven.push({
        claim: `${count(exceptions.size, 'exception')} used`,
        detail: 'each logged before it counted',
      });
    }
    if (runs === 0) return;
    this.proven.push({
      claim: `${count(runs, 'run')}, each with an allow logged before it`,
      detail: unfinished,
    });
  }

  async #checkReplay(): Promise<void> {
    if (!this.#replay) return;
    await this.#replay.flush();
    const { replayed, skipped: all } = this.#replay;
    const beyond = new Set(this.#beyondDecisions);
    const skipped = all.filter((index) => !beyond.has(index));
    if (replayed > 0) {
      this.proven.push({ claim: `${count(replayed, 'decision')} replayed`, detail: 'all equal' });
    }
    const apart = all.length - skipped.length;
    if (apart > 0)
      this.onItsWord.push(`${count(apart, 'decision')} that could not be replayed, because what they were made of is not for the reader of this bundle`); // prettier-ignore
    if (skipped.length > 0) {
      const named = skipped.slice(0, 5).join(', ') + (skipped.length > 5 ? ', …' : '');
      this.onItsWord.push(
        `${count(skipped.length, 'decision')} that could not be replayed (${named}): what policy gave there`,
      );
    }
  }

  #sayWhatIsNotProven(checkpoint: SignedCheckpoint, manifest: Manifest | undefined): void {
    if (!this.#replay && this.#precedence.decisions > 0) {
      this.onItsWord.push(
        `${count(this.#precedence.decisions, 'decision')} not replayed: that policy gave what they say`,
      );
    }
    if (this.#before !== undefined) this.onItsWord.push(this.#before);
    if (this.evidence.kind === 'tiles' && this.#checked.size === 0)
      this.onItsWord.push('tiles hold no contents: what the digests in the entries stand for');
    if (checkpoint.signedBy.length < 2) {
      this.onItsWord.push(
        'no witness has signed: that everybody was shown this same log (compare a checkpoint kept elsewhere, --checkpoint)',
      );
    }
    if (manifest)
      this.onItsWord.push(
        `that nothing was logged after entry ${number.format(checkpoint.size - 1)}, exported ${manifest.exportedAt}`,
      );
    this.onItsWord.push('the times in the entries: they are the clock of the service');
    this.onItsWord.push(
      'that Git and the cluster held what the service read there, and that nothing was done without being logged',
    );
  }
}
