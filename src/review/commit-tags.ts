import type { Mirror, Tag } from '../source/repository.js';
import type { TagSignature } from '../source/signature.js';
import { checkNamedTag } from '../source/signers.js';
import type { Governance } from './governance.js';

/** Milliseconds for which what the remote was asked holds. */
const FRESH = 30_000;

/**
 * The annotated tags of one repository by the commit that they lead to. They deploy nothing, so they are no part of the log: they are
 * looked at when somebody asks, and judged by the signers in force at that moment.
 */
export class CommitTags {
  #looked: { readonly at: number; readonly byCommit: Promise<ReadonlyMap<string, readonly Tag[]>> } | null = null;

  constructor(
    private readonly mirror: Pick<Mirror, 'tags'>,
    private readonly governance: () => Governance | null,
    private readonly now: () => number = Date.now,
  ) {}

  /** Throws what keeps the remote from being asked; `repository-missing` with `retry`. */
  async of(commit: string): Promise<readonly TagSignature[]> {
    const governance = this.governance();
    if (!governance) return [];
    if (!this.#looked || this.#looked.at + FRESH <= this.now()) {
      const byCommit = this.mirror.tags().then((tags) => Map.groupBy(tags, (tag) => tag.commit));
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
}

/** Tags of one commit that are shown. */
const MOST = 100;
