import { TestJudge } from '../../test/support/log.js';
import { SdkEvaluator } from '../adapters/opa/sdk-evaluator.js';
import type { JsonObject } from '../cluster/object.js';
import { sha256, toHex } from './crypto.js';
import type { ContentReference, EntryDraft, LoggedEntry } from './entry.js';
import type { Difference, ReplayOptions } from './replay.js';
import { Replay } from './replay.js';

const stored = new Map<string, Uint8Array>();
const read = (reference: ContentReference) => Promise.resolve(stored.get(reference.sha256));

/** As the ledger logs a draft, without salt. */
function logged(index: number, draft: EntryDraft): LoggedEntry {
  const contents: Record<string, ContentReference> = {};
  for (const [role, { mediaType, bytes }] of Object.entries(draft.contents ?? {})) {
    const digest = toHex(sha256(bytes));
    stored.set(digest, bytes);
    contents[role] = { mediaType, sha256: digest, salted: false };
  }
  const predicate: JsonObject = { ...draft.predicate, contents };
  return { index, type: draft.type, time: '', leafHash: '', subjects: [], predicate, envelope: Buffer.alloc(0) };
}

function withResult(draft: EntryDraft, result: string, outcome = draft.predicate['outcome']): EntryDraft {
  const content = { mediaType: 'application/json', bytes: Buffer.from(result), salted: false };
  return { ...draft, predicate: { ...draft.predicate, outcome }, contents: { ...draft.contents, result: content } };
}

// Invariant 4.
describe('judging decisions again', () => {
  let judge: TestJudge;
  const sdk = new SdkEvaluator();
  beforeAll(async () => {
    judge = await TestJudge.open();
  });
  afterAll(() => judge.close());

  async function replay(entries: readonly LoggedEntry[], bySdk = false, more: ReplayOptions = {}) {
    const differences: Difference[] = [];
    const options = { differs: (difference: Difference) => differences.push(difference), loosely: bySdk, ...more };
    const replayed = new Replay(bySdk ? sdk : judge.evaluator, read, options);
    for (const entry of entries) await replayed.add(entry);
    await replayed.flush();
    return { replayed: replayed.replayed, skipped: replayed.skipped, differences };
  }

  it.each([false, true])('finds what it finds in them, by either evaluator (SDK: %s)', async (bySdk) => {
    const drafts = await Promise.all([3, 9, 4].map((replicas, i) => judge.decision(`d${i}`, replicas)));
    const entries = drafts.map((draft, i) => logged(i, draft));
    expect(await replay(entries, bySdk)).toEqual({ replayed: 3, skipped: [], differences: [] });
  });

  it.each([false, true])('tells of every one that differs, and how (SDK: %s)', async (bySdk) => {
    const [good, bad] = [await judge.decision('good', 3), await judge.decision('bad', 9)];
    const forged = '[{"file":"x.rego","name":"deny","package":"x","row":1,"value":"made up"}]';
    const entries = [
      logged(0, good),
      logged(1, withResult(bad, '[]', 'allow')),
      logged(2, withResult(good, forged)),
      logged(3, { ...good, predicate: { ...good.predicate, wasmDigest: 'f'.repeat(64) } }),
      logged(4, { ...bad, predicate: { ...bad.predicate, outcome: 'allow' } }),
      logged(5, bad),
    ];
    const { replayed, differences } = await replay(entries, bySdk);
    expect(replayed).toBe(2);
    expect(differences.toSorted((a, b) => a.index - b.index)).toEqual([
      { index: 1, why: expect.stringContaining('another result') as string, recorded: [], now: [expect.objectContaining({ value: '9 replicas' })] }, // prettier-ignore
      { index: 2, why: expect.stringContaining('another result') as string, recorded: JSON.parse(forged) as unknown, now: [] }, // prettier-ignore
      { index: 3, why: expect.stringContaining('names wasmDigest') as string, recorded: [], now: [] },
      { index: 4, why: expect.stringContaining('says allow, but') as string, recorded: [], now: [] },
    ]);
    await expect(replay(entries, bySdk, { differs: undefined as never })).rejects.toMatchObject({ code: 'bundle-invalid' }); // prettier-ignore
  });

  it('passes over what was withheld, and what the SDK cannot do', async () => {
    const draft = await judge.decision('d', 3);
    const entry = logged(0, draft);
    const [withheld, impossible] = [structuredClone(entry.predicate), structuredClone(entry.predicate)];
    (withheld['contents'] as Record<string, { sha256: string }>)['input'].sha256 = 'a'.repeat(64);
    (impossible['contents'] as Record<string, { sha256: string }>)['input'].sha256 = toHex(
      sha256(Buffer.from('no JSON')),
    );
    stored.set(toHex(sha256(Buffer.from('no JSON'))), Buffer.from('no JSON'));
    const unable: number[] = [];
    const options = { unable: (index: number) => unable.push(index) };
    const entries = [
      { ...entry, predicate: withheld },
      { ...entry, index: 1, predicate: impossible },
    ];
    expect(await replay(entries, true, options)).toEqual({ replayed: 0, skipped: [0], differences: [] });
    expect(unable).toEqual([1]);
  });
});
