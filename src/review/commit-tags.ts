import { toCountersignError } from '../errors.js';
import type { Mirror, Tag } from '../source/repository.js';
import type { TagSignature } from '../source/signature.js';
import { checkNamedTag } from '../source/signers.js';
import type { Governance } from './governance.js';

type ByCommit = ReadonlyMap<string, readonly Tag[]>;

/** Milliseconds for which what the remote was asked holds. */
const FRESH = 30_000;

/**
 * The annotated tags of one repository by the commit that they lead to. They deploy nothing, so they are no part of the log: they are
 * looked at when somebody asks, and judged by the signers in force at that moment.
 */
export class CommitTags {
  #looked: { readonly at: number; readonly byCommit: Promise<ByCommit> } | null = null;
  /** What the remote said last, for while it is away. */
  #last: ByCommit | null = null;

  constructor(
    private readonly mirror: Pick<Mirror, 'tags'>,
    private readonly governance: () => Governance | null,
    private readonly now: () => number = Date.now,
  ) {}

  /** Throws what keeps the remote from being asked where it never was; `repository-missing` with `retry`. */
  async of(commit: string): Promise<readonly TagSignature[]> {
    const governance = this.governance();
    if (!governance) return [];
    if (!this.#looked || this.#looked.at + FRESH <= this.now()) {
      const byCommit = this.#look();
      const looked = { at: this.now(), byCommit };
      this.#looked = looked;
      // What failed is asked anew by the next; whoever waits for this one is told.
      byCommit.catch(() => {
        if (this.#looked === looked) this.#looked = null;
      });
    }
    const tags = (await this.#looked.byCommit).get(commit) ?? [];
    const at = new Date(this.now());
    return tags.slice(0, MOST).map((tag) => checkNamedTag(tag, governance.signers, at));
  }

  async #look(): Promise<ByCommit> {
    try {
      return (this.#last = Map.groupBy(await this.mirror.tags(), (tag) => tag.commit));
    } catch (thrown) {
      if (this.#last && toCountersignError(thrown).retry) return this.#last;
      throw thrown;
    }
  }
}

/** Tags of one commit that are shown. */
const MOST = 100;
