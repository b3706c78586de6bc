import { CountersignError } from '../errors.js';
import type { Evaluator } from '../policy/evaluator.js';
import { type Checkpoint, openCheckpoint, parseCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { Conclusions, count, formatNumber, type Proven } from './conclusions.js';
import { equalBytes, fromUtf8, type Hash, toBase64 } from './crypto.js';
import type { LoggedEntry } from './entry.js';
import { EntryKeys } from './entry-keys.js';
import {
  belongs,
  claimedReach,
  type Evidence,
  evidenceFiles,
  evidenceLimits,
  handoverNumber,
  invalid,
  type Manifest,
  openManifest,
  readmeDigest,
} from './evidence.js';
import { HashTiles } from './hash-tiles.js';
import { type Anchor, KeptCheckpoints } from './kept-checkpoints.js';
import { Frontier, leafHash } from './merkle.js';
import { NamedContents } from './named-contents.js';
import { parseNote } from './note.js';
import type { Trust } from './policy-file.js';
import { Precedence } from './precedence.js';
import { reachOfPlaces } from './reach.js';
import type { Replay } from './replay.js';
import { entryOfStatement, parseStatement } from './statement.js';
import { Succession } from './succession.js';
import { decodeEntries, tilePath, tilesOf, tileWidth } from './tiles.js';
import { Times } from './times.js';

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
  /** Checkpoints that others kept. */
  readonly anchors?: readonly Anchor[];
  readonly progress?: (entries: number, of: number) => void;
  /** Hears of each entry in its order, once its own signature was checked; what all of them add up to is known only in the end. */
  readonly hear?: (entry: LoggedEntry) => Promise<void> | undefined;
}

/**
 * Checks exported evidence in one pass, in bounded memory. What is wrong with the evidence it says, and never throws. Throws `usage` for what is wrong with
 * the checkpoint that the auditor gave, and for evidence that the machine cannot read.
 */
export async function verifyEvidence(evidence: Evidence, options: VerifyOptions): Promise<Verification> {
  const verifier = new Verifier(evidence, options);
  let fault: CountersignError | undefined;
  try {
    await verifier.run();
  } catch (error) {
    if (!(error instanceof CountersignError) || error.code === 'usage') throw error;
    fault = error;
  }
  const { checkpoint, conclusions } = verifier;
  const { origin = options.trust.log.name, size = 0, root = new Uint8Array() } = checkpoint ?? {};
  const { proven, onItsWord } = conclusions;
  return { origin, size, root: toBase64(root), proven, onItsWord: fault ? [] : onItsWord, fault };
}

/** Of what could not even be opened as evidence. */
export const noEvidence = ({ log }: Trust, fault: CountersignError): Verification => ({
  origin: log.name,
  size: 0,
  root: '',
  proven: [],
  onItsWord: [],
  fault,
});

/** What was taken from the evidence before its entries are read. */
interface Opened {
  /** What it claims to be of; believed or not yet. */
  readonly claimed: Checkpoint;
  readonly note: string;
  readonly succession: Succession;
  readonly contents: NamedContents;
  readonly replay: Replay | undefined;
}

class Verifier {
  checkpoint: SignedCheckpoint | undefined;
  readonly conclusions = new Conclusions();

  readonly #kept: KeptCheckpoints;
  readonly #keys = new EntryKeys();
  readonly #precedence = new Precedence();
  readonly #times = new Times();
  /** Decisions that are not for the reader. */
  readonly #apart = new Set<number>();
  /** What came before this log, if another did. */
  #before: string | undefined;

  constructor(
    private readonly evidence: Evidence,
    private readonly options: VerifyOptions,
  ) {
    const { trust, earlier, anchors = [] } = options;
    this.#kept = new KeptCheckpoints(trust.log, earlier, anchors);
  }

  async run(): Promise<void> {
    this.#checkNames();
    const opened = await this.#open();
    const { claimed, note, succession, contents, replay } = opened;
    this.#kept.expect(claimed, this.conclusions);
    await this.#readEntries(opened);
    const checkpoint = this.checkpoint ?? this.#believe(succession.open(note, this.options.trust.witnesses));
    this.#sayWhatIsThere(checkpoint, succession);
    this.#kept.check(checkpoint, this.conclusions);
    const manifest = await this.#checkManifest(checkpoint);
    contents.check(manifest, this.conclusions);
    this.#sayWhatRan();
    await this.#checkReplay(replay);
    this.#sayWhatIsNotProven(checkpoint, opened, manifest);
  }

  #checkNames(): void {
    const { kind, names } = this.evidence;
    const stranger = [...names].find((name) => !belongs(name, kind));
    if (stranger !== undefined)
      throw invalid(`it holds a file that does not belong there: ${JSON.stringify(stranger)}`);
  }

  async #open(): Promise<Opened> {
    const { log, witnesses } = this.options.trust;
    const note = await this.#note(evidenceFiles.checkpoint, evidenceLimits.note);
    const handovers: string[] = [];
    // One at a time: a stranger may have put many in.
    for (const name of this.evidence.names) {
      if (handoverNumber(name) === undefined) continue;
      const handover = await this.#note(name, evidenceLimits.handover);
      if (!isCheckpoint(handover)) throw invalid('it is no checkpoint', name);
      handovers.push(handover);
    }
    const succession = new Succession(log, handovers);
    const unjudged = parseCheckpoint(parseNote(note).text);
    // No key may have signed it that is believed yet: `#believe` follows when the entries were read.
    const waits = handovers.length > 0 && unjudged.origin === log.name;
    const claimed = waits ? unjudged : this.#believe(openCheckpoint(note, log, witnesses));
    const contents = new NamedContents(this.evidence, await this.#reach());
    return { claimed, note, succession, contents, replay: await this.#openReplay(contents) };
  }

  async #note(name: string, limit: number): Promise<string> {
    return fromUtf8(await this.evidence.read(name, limit)) ?? '';
  }

  #believe(checkpoint: SignedCheckpoint): SignedCheckpoint {
    const { trust } = this.options;
    if (!trust.quorumReached(checkpoint.signedBy))
      throw invalid(`the checkpoint lacks its ${trust.quorum}`, 'checkpoint');
    return (this.checkpoint = checkpoint);
  }

  async #reach(): Promise<ReturnType<typeof reachOfPlaces> | undefined> {
    if (this.evidence.kind === 'tiles' || !this.evidence.names.has(evidenceFiles.manifest)) return undefined;
    const places = claimedReach(await this.evidence.read(evidenceFiles.manifest, evidenceLimits.manifest));
    return places && reachOfPlaces(places);
  }

  /** Loaded only here: whoever does not replay, such as a browser, needs none of what judging takes. */
  async #openReplay(contents: NamedContents): Promise<Replay | undefined> {
    const { evaluator } = this.options;
    return evaluator && new (await import('./replay.js')).Replay(evaluator, contents.content);
  }

  /** Every leaf, from bytes to root; what entries claim of each other is checked on the way. */
  async #readEntries(opened: Opened): Promise<void> {
    const { claimed, succession } = opened;
    const frontier = new Frontier();
    const hashes = new HashTiles(this.evidence, claimed.size);
    const look = (): void => {
      this.#kept.look(frontier);
      if (succession.isHandover(frontier.size)) succession.handOver(frontier.size, frontier.root());
    };
    for (const tile of tilesOf(claimed.size)) {
      if (tile.level !== 'entries') break;
      const name = tilePath(tile);
      if (!this.evidence.names.has(name)) throw invalid(`entries ${tile.index * tileWidth} … are missing`, name);
      for (const leaf of decodeEntries(await this.evidence.read(name, evidenceLimits.entries), tile.width)) {
        look();
        const index = frontier.size;
        const hash = leafHash(leaf);
        await hashes.check(index, hash, frontier);
        await this.#readEntry(index, leaf, hash, opened);
      }
      this.options.progress?.(frontier.size, claimed.size);
    }
    look();
    if (!equalBytes(frontier.root(), claimed.root)) {
      throw invalid(
        `the ${formatNumber(frontier.size)} entries give the root ${toBase64(frontier.root())}, signed is ${toBase64(claimed.root)}: an entry was changed, dropped or moved`,
      );
    }
    const surplus = [...this.evidence.names].find((name) => name.startsWith('tile/') && !hashes.belongs(name));
    if (surplus !== undefined) throw invalid('it holds a tile that is not of this tree', surplus);
  }

  async #readEntry(index: number, leaf: Uint8Array, hash: Hash, opened: Opened): Promise<void> {
    const statement = parseStatement(leaf, `entry ${index}`);
    const entry = entryOfStatement(index, leaf, hash, statement);
    this.#keys.read(entry, statement.envelope);
    if (entry.type === 'key') opened.succession.read(entry);
    this.#kept.read(entry);
    await opened.contents.read(entry);
    if (entry.type === 'genesis') this.#readGenesis(entry);
    this.#times.read(entry);
    this.#precedence.read(entry);
    if (entry.type === 'decision') {
      if (!opened.contents.isForTheReader(entry)) this.#apart.add(index);
      await opened.replay?.add(entry);
    }
    const heard = this.options.hear?.(entry);
    if (heard) await heard;
  }

  /** A log that was opened because another lost its end says so; what was lost is proven by nobody. */
  #readGenesis({ index, predicate: { of, predecessor } }: LoggedEntry): void {
    if (of !== 'log') return;
    const { origin, size, held } = (predecessor ?? {}) as Record<string, unknown>;
    if (typeof size !== 'number' || typeof held !== 'number')
      throw invalid(`entry ${index} names no log before this one`);
    this.#before = `what came before this log: it follows the log ${String(origin)} of ${formatNumber(size)} entries, of which ${formatNumber(size - held)} were lost`;
  }

  async #checkManifest(checkpoint: SignedCheckpoint): Promise<Manifest | undefined> {
    if (this.evidence.kind === 'tiles') return undefined;
    const bytes = await this.evidence.read(evidenceFiles.manifest, evidenceLimits.manifest);
    const manifest = openManifest(bytes, this.#keys.all);
    if (manifest.origin !== checkpoint.origin || manifest.size !== checkpoint.size) {
      throw invalid('the manifest is of another export', evidenceFiles.manifest);
    }
    const readme = await this.#note(evidenceFiles.readme, evidenceLimits.note);
    if (readmeDigest(readme) !== manifest.readme) throw invalid('the README was changed', evidenceFiles.readme);
    return manifest;
  }

  async #checkReplay(replay: Replay | undefined): Promise<void> {
    if (!replay) return;
    await replay.flush();
    const { replayed, skipped: all } = replay;
    if (replayed > 0) this.conclusions.prove(`${count(replayed, 'decision')} replayed`, 'all equal');
    const skipped = all.filter((index) => !this.#apart.has(index));
    const apart = all.length - skipped.length;
    if (apart > 0)
      this.conclusions.leaveToItsWord(`${count(apart, 'decision')} that could not be replayed, because what they were made of is not for the reader of this bundle`); // prettier-ignore
    if (skipped.length === 0) return;
    const named = skipped.slice(0, 5).join(', ') + (skipped.length > 5 ? ', …' : '');
    this.conclusions.leaveToItsWord(`${count(skipped.length, 'decision')} that could not be replayed (${named}): what policy gave there`); // prettier-ignore
  }

  #sayWhatIsThere(checkpoint: SignedCheckpoint, { followers }: Succession): void {
    const { size, root, signedBy } = checkpoint;
    const range = size === 0 ? 'no entries yet,' : `entries 0 … ${formatNumber(size - 1)}`;
    const signers = signedBy.map((key) => key.name).join(', ');
    this.conclusions.prove(
      `${range} complete and unaltered`,
      `root ${toBase64(root).slice(0, 8)}…, signed by ${signers}`,
    );
    this.#sayWhoWitnessed(checkpoint);
    if (followers.length > 0) {
      this.conclusions.prove(
        `the log's key handed over ${followers.length === 1 ? 'once' : `${followers.length} times`}`,
        `each to one that it named and signed for, last ${followers.at(-1)!.keyId}`,
      );
    }
    this.conclusions.prove('every entry signed by a key that the log names', count(this.#keys.named, 'key'));
  }

  #sayWhoWitnessed({ cosignedAt }: SignedCheckpoint): void {
    if (cosignedAt.size === 0) return;
    const last = new Date(Math.max(...cosignedAt.values()) * 1000).toISOString().replace('.000', '');
    const { witnesses, quorum } = this.options.trust;
    this.conclusions.prove(
      `${cosignedAt.size} of ${witnesses.length} ${witnesses.length === 1 ? 'witness agrees' : 'witnesses agree'}`,
      `asked for: ${quorum}; last at ${last}`,
    );
  }

  #sayWhatRan(): void {
    const { runs, exceptions, unfinished } = this.#precedence;
    if (exceptions.size > 0)
      this.conclusions.prove(`${count(exceptions.size, 'exception')} used`, 'each logged before it counted');
    if (runs > 0) this.conclusions.prove(`${count(runs, 'run')}, each with an allow logged before it`, unfinished);
  }

  #sayWhatIsNotProven(
    { size, signedBy }: SignedCheckpoint,
    { contents, replay }: Opened,
    manifest: Manifest | undefined,
  ): void {
    const { decisions } = this.#precedence;
    const leave = (claim: string): void => this.conclusions.leaveToItsWord(claim);
    if (!replay && decisions > 0) leave(`${count(decisions, 'decision')} not replayed: that policy gave what they say`);
    if (this.#before !== undefined) leave(this.#before);
    if (this.evidence.kind === 'tiles' && contents.size === 0)
      leave('tiles hold no contents: what the digests in the entries stand for');
    if (signedBy.length < 2)
      leave('no witness has signed: that everybody was shown this same log (compare a checkpoint kept elsewhere, --since)'); // prettier-ignore
    if (manifest)
      leave(`that nothing was logged after entry ${formatNumber(size - 1)}, exported ${manifest.exportedAt}`);
    leave(`the times in the entries: they are the clock of the service${this.#times.told}`);
    leave('that Git and the cluster held what the service read there, and that nothing was done without being logged');
  }
}

function isCheckpoint(note: string): boolean {
  try {
    return parseCheckpoint(parseNote(note).text).size >= 0;
  } catch {
    return false;
  }
}
