import { CountersignError } from '../errors.js';
import type { CommitWithFiles, RefMove } from '../source/repository.js';
import { checkSignature, type Signers } from '../source/signers.js';
import { APPROVALS_REF } from './approval.js';
import { latePusherEntry, pushEntry } from './entries.js';
import type { ClockedParts } from './followed-repository.js';
import { changeCommits, ingestCommits } from './ingest.js';
import { type PusherClaim, PusherClaims, sameMove } from './pusher.js';
import { recordId } from './record-id.js';
import type { CommitRecord, PushRecord, TipRecord } from './records.js';

/** Webhooks heard of between two looks; the rest is the forge's word for nothing. */
const MOST_TOLD = 1_000;
/** A webhook that comes after the poll that saw its push: it is looked for among so many, and milliseconds back. */
const MOST_RECENT = 50;
const LATE = 3_600_000;

/** The pushes of one repository: each ref move becomes a push in the log, its commits recorded with it. */
export class Pushes {
  #tips = new Map<string, TipRecord>();
  readonly #claims: PusherClaims;
  /** Not looked at yet. */
  #told: PusherClaim[] = [];

  constructor(
    private readonly repository: string,
    private readonly parts: Pick<ClockedParts, 'ledger' | 'records' | 'mirror' | 'now'>,
  ) {
    this.#claims = new PusherClaims(parts.now);
  }

  /** Somebody who let a push in says whose it was. It counts from the next look on. */
  vouch(claim: PusherClaim): void {
    if (this.#told.length < MOST_TOLD) this.#told.push(claim);
  }

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
    await this.#hear();
    const remote = await this.parts.mirror.poll();
    if (sameTips(remote, this.#tips)) return;
    for (const move of await this.parts.mirror.fetch(this.commits)) await this.#record(move, signers);
  }

  /** Of a push that is recorded already it is recorded, too; another is waited for. */
  async #hear(): Promise<void> {
    const { ledger, records, now } = this.parts;
    for (let claim = this.#told[0]; claim; claim = this.#told[0]) {
      const { ref, old, new: head, by } = claim;
      const since = now().getTime() - LATE;
      const seen = (await records.newest('push', { repository: this.repository, ref }, 'time', MOST_RECENT)).filter(
        (push) => sameMove(push, { ref, old, new: head }) && Date.parse(push.time) >= since,
      );
      const [push] = seen;
      // Of two moves from here to there nobody can tell which is meant.
      if (seen.length === 1 && push.pusher === null)
        await ledger.record(async (transaction) => {
          await records.update('push', { id: push.id }, { pusher: by }, transaction);
          transaction.append(latePusherEntry(push, by, now().toISOString()));
        });
      else if (seen.length === 0) this.#claims.add(claim);
      this.#told.shift();
    }
  }

  async #record(move: RefMove, signers: Signers): Promise<void> {
    const { ledger, records } = this.parts;
    const time = this.parts.now();
    const push: PushRecord = {
      id: recordId(),
      repository: this.repository,
      ref: move.ref,
      kind: move.kind,
      old: move.old,
      new: move.new,
      pusher: this.#claims.take(move),
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
