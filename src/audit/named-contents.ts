import { type Conclusions, count, formatNumber } from './conclusions.js';
import { fromUtf8, toHex, utf8 } from './crypto.js';
import type { LoggedEntry } from './entry.js';
import { erasedBy } from './erasure.js';
import { contentName, type Evidence, evidenceFiles, evidenceLimits, invalid, type Manifest } from './evidence.js';
import { bodiesWithin, type Reach } from './reach.js';
import type { ContentReader } from './replay.js';
import { contentsOf } from './statement.js';
import { TextSet } from './text-set.js';

const saltBytes = 32;

/** Digests that removals in the log took away, and how many removals there were. */
interface Removals {
  readonly digests: TextSet;
  times: number;
}

/** The contents that entries name: each is there as its digest says, or it is said why not. */
export class NamedContents {
  readonly #checked = new TextSet();
  /** By the first entry that names it. */
  readonly #missing = new Map<string, number>();
  readonly #erased: Removals = { digests: new TextSet(), times: 0 };
  /** What went because it had been kept as long as was asked for. */
  readonly #expired: Removals = { digests: new TextSet(), times: 0 };
  /** Not there, as nothing that is for the reader names it. */
  readonly #beyond = new TextSet();
  #beyondCount = 0;
  /** Whether entries of a repository and environment are for the reader: there are few of these, and many globs perhaps. */
  readonly #within = new Map<string, boolean>();

  constructor(
    private readonly evidence: Evidence,
    /** Of a reader who may not see everything. */
    private readonly reach: Reach | undefined,
  ) {}

  /** How many are here. */
  get size(): number {
    return this.#checked.size;
  }

  /** The next entry. Throws `bundle-invalid` for a content that was changed, `log-invalid` for an entry that names none properly. */
  async read(entry: LoggedEntry): Promise<void> {
    const contents = contentsOf(entry.predicate, `entry ${entry.index}`);
    if (contents.size === 0) return;
    const within = this.isForTheReader(entry);
    // What an erasure took away is told to everybody, by digests alone.
    for (const [role, { sha256 }] of contents) await this.#check(sha256, entry.index, within || role === 'erased');
    const list = entry.type === 'erasure' ? contents.get('erased') : undefined;
    const bytes = list && (await this.content(list));
    if (!bytes) return;
    const removals = entry.predicate['by'] === 'retention' ? this.#expired : this.#erased;
    removals.times += 1;
    for (const digest of erasedBy(bytes, `entry ${entry.index}`)) removals.digests.add(digest);
  }

  isForTheReader(entry: LoggedEntry): boolean {
    if (this.reach === undefined) return true;
    const key = JSON.stringify([entry.predicate['repository'] ?? null, entry.predicate['environment'] ?? null]);
    let within = this.#within.get(key);
    if (within === undefined) this.#within.set(key, (within = bodiesWithin(this.reach, entry)));
    return within;
  }

  async #check(digest: string, index: number, within: boolean): Promise<void> {
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

  /** Of what was checked; undefined for what is not here. */
  readonly content: ContentReader = async ({ sha256, salted }) => {
    if (!this.#checked.has(sha256)) return undefined;
    const bytes = await this.evidence.read(contentName(sha256), evidenceLimits.content);
    return salted ? bytes.subarray(saltBytes) : bytes;
  };

  /** When all entries were read. Tiles have no manifest. Throws `bundle-invalid` for what is missing and for what nothing names. */
  check(manifest: Manifest | undefined, conclusions: Conclusions): void {
    const claim = `${count(this.size, 'content')}, as their entries name them`;
    if (!manifest) {
      if (this.size > 0) conclusions.prove(claim, 'what else they name is not here');
      return;
    }
    const withheld = new Set(manifest.withheld);
    for (const [digest, index] of this.#missing) {
      if (!withheld.has(digest)) throw invalid(`a content that entry ${index} names is missing`, contentName(digest));
    }
    const contents = [...this.evidence.names].filter((name) => name.startsWith('content/'));
    const surplus = contents.find((name) => !this.#checked.has(name.slice('content/'.length)));
    if (surplus !== undefined) throw invalid('it holds a content that no entry names', surplus);
    if (this.size + withheld.size === 0) return;
    const { erased, expired, beyond, kept } = this.#sorted(withheld);
    if (beyond !== this.#beyondCount)
      throw invalid('the manifest does not name all that its reader may not see', evidenceFiles.manifest);
    const gone = [
      ...(erased > 0 ? [`${formatNumber(erased)} erased, as ${said(this.#erased, 'erasure')}`] : []),
      ...(expired > 0 ? [`${formatNumber(expired)} withheld by retention, as ${said(this.#expired, 'removal')}`] : []),
      ...(beyond > 0 ? [`${formatNumber(beyond)} of what is not for the reader of this bundle`] : []),
      ...(kept > 0 ? [`${formatNumber(kept)} withheld`] : []),
    ];
    conclusions.prove(claim, gone.length === 0 ? 'none missing' : `${gone.join(', ')}; their digests stay`);
    if (kept > 0)
      conclusions.leaveToItsWord(`${count(kept, 'content')} that the service withheld, and no removal in the log took away`); // prettier-ignore
  }

  /** How many of what is withheld went for which reason. */
  #sorted(withheld: ReadonlySet<string>): Record<'erased' | 'expired' | 'beyond' | 'kept', number> {
    const sorted = { erased: 0, expired: 0, beyond: 0, kept: 0 };
    for (const digest of withheld) {
      // Named by nothing that is for the reader.
      if (this.#beyond.has(digest) && !this.#missing.has(digest)) sorted.beyond += 1;
      else if (this.#erased.digests.has(digest)) sorted.erased += 1;
      else if (this.#expired.digests.has(digest)) sorted.expired += 1;
      else sorted.kept += 1;
    }
    return sorted;
  }
}

const said = ({ times }: Removals, what: string): string =>
  `${count(times, what)} in the log ${times === 1 ? 'says' : 'say'}`;
