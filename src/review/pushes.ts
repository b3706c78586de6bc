import { randomUUID } from 'node:crypto';
import { CountersignError } from '../errors.js';
import type { CommitWithFiles, RefMove } from '../source/repository.js';
import { checkSignature, type Signers } from '../source/signers.js';
import { APPROVALS_REF } from './approval.js';
import { pushEntry } from './entries.js';
import type { ClockedParts } from './followed-repository.js';
import { changeCommits, ingestCommits } from './ingest.js';
import type { CommitRecord, PushRecord, TipRecord } from './records.js';

/** The pushes of one repository: each ref move becomes a push in the log, its commits recorded with it. */
export class Pushes {
  #tips = new Map<string, TipRecord>();

  constructor(
    private readonly repository: string,
    private readonly parts: Pick<ClockedParts, 'ledger' | 'records' | 'mirror' | 'now'>,
  ) {}

  async load(): Promise<void> {
    const tips = await this.parts.records.find('tip', { repository: this.repository });
    this.#tips = new Map(tips.map((tip) => [tip.ref, tip]));
  }

  /** Where a ref is, as the log has it. */
  tip(ref: string): TipRecord | undefined {
    return this.#tips.get(ref);
  }

  /** The commit of each ref, as the log has it. */
  get commits(): ReadonlyMap<string, string> {
    return new Map([...this.#tips].map(([ref, tip]) => [ref, tip.commit]));
  }

  async find(id: string): Promise<PushRecord> {
    const [push] = await this.parts.records.find('push', { id });
    if (!push)
      throw new CountersignError('log-invalid', `the record of push ${id} of ${this.repository} is gone`, {
        remedy: 'Restore the database from a backup',
      });
    return push;
  }

  /** Records what moved since it was seen last; signatures are checked against `signers`. */
  async see(signers: Signers): Promise<void> {
    const remote = await this.parts.mirror.poll();
    if (sameTips(remote, this.#tips)) return;
    for (const move of await this.parts.mirror.fetch(this.commits)) await this.#record(move, signers);
  }

  async #record(move: RefMove, signers: Signers): Promise<void> {
    const { ledger, records } = this.parts;
    const time = this.parts.now();
    const push: PushRecord = {
      id: randomUUID(),
      repository: this.repository,
      ref: move.ref,
      kind: move.kind,
      old: move.old,
      new: move.new,
      time: time.toISOString(),
      index: null,
    };
    // Approvals are read as such; what carries them is no commit that anybody proposes.
    const range =
      move.new && move.ref !== APPROVALS_REF
        ? { head: move.new, exclude: [...new Set([...this.#tips.values()].map((tip) => tip.commit))] }
        : null;
    const count = range
      ? await ingestCommits(range, this.#ingestParts(), (seen) => this.#commitRecord(seen, time, signers))
      : 0;
    const { entries } = await ledger.record(async (transaction) => {
      await records.save(transaction, 'push', [push]);
      if (move.new) {
        const tip = { repository: this.repository, ref: move.ref, commit: move.new, push: push.id };
        await records.save(transaction, 'tip', [tip]);
      } else {
        await records.remove(transaction, 'tip', { repository: this.repository, ref: move.ref });
      }
      transaction.append(pushEntry(push, count));
    });
    await records.update('push', { id: push.id }, { index: entries[0].index });
    if (move.new) {
      this.#tips.set(move.ref, { repository: this.repository, ref: move.ref, commit: move.new, push: push.id });
    } else {
      this.#tips.delete(move.ref);
    }
  }

  #commitRecord({ commit, files }: CommitWithFiles, seen: Date, signers: Signers): CommitRecord {
    const { id, tree, parents, author, committer, message } = commit;
    return {
      repository: this.repository,
      id,
      tree,
      parents,
      author,
      committer,
      message,
      signature: checkSignature(commit, signers, seen),
      files: files.map(({ path, op, mode }) => ({ path, op, mode })),
      firstSeen: seen.toISOString(),
    };
  }

  /** Commits seen before anybody was trusted get their signatures checked now, still at the time they were first seen. */
  async recheckSignatures(signers: Signers): Promise<void> {
    const { mirror } = this.parts;
    const tips = [...this.#tips.values()].filter(({ ref }) => ref !== APPROVALS_REF).map(({ commit }) => commit);
    await changeCommits([...new Set(tips)], this.#ingestParts(), async (record) => {
      if (record.signature.kind === 'none') return undefined;
      const commit = await mirror.repository.commit(record.id);
      return { ...record, signature: checkSignature(commit, signers, new Date(record.firstSeen)) };
    });
  }

  #ingestParts(): Parameters<typeof ingestCommits>[1] {
    const { ledger, records, mirror } = this.parts;
    return { ledger, records, reader: mirror.repository, repository: this.repository };
  }
}

function sameTips(remote: ReadonlyMap<string, string>, seen: ReadonlyMap<string, TipRecord>): boolean {
  return remote.size === seen.size && [...remote].every(([ref, commit]) => seen.get(ref)?.commit === commit);
}
