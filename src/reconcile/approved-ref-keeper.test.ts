import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { DecisionLog, environmentNamed, RunRecorder } from '../../test/support/approvals.js';
import { everything, until } from '../../test/support/cluster.js';
import { createRepository, person, ScratchRepository, temporaryFolder, type Person } from '../../test/support/git-fixture.js'; // prettier-ignore
import { ApprovedRefs } from '../adapters/git/approved-refs.js';
import { openMirror } from '../adapters/git/mirror.js';
import type { ReconcileSettings } from '../change/reconcile-settings.js';
import type { Account } from '../review/records.js';
import type { ForeignMove, Left } from './approved-ref.js';
import { ApprovedRefKeeper } from './approved-ref-keeper.js';
import type { ApprovedChange } from './gate.js';
import { RefWatch } from './ref-watch.js';
import type { ReconcilerState } from './reconciler-state.js';

const folder = temporaryFolder();
const REF = 'refs/heads/countersign/approved/shop/production';
let ann: Person;
let count = 0;
beforeAll(async () => {
  ann = await person('Ann', 'ann@example.org');
});

/** A hosted repository with a history of three commits, its mirror, and the keeper of one environment's ref. */
async function world({
  left,
  writes = 'any',
}: { left?: (commits: readonly string[]) => Left; writes?: 'any' | 'none' } = {}) {
  const at = folder.path(`world-${count++}`);
  const work = await createRepository(`${at}/work`);
  const commits: string[] = [];
  for (const n of [1, 2, 3]) commits.push(await work.commit({ author: ann, sign: false, message: `${n}`, files: { n: `${n}` } })); // prettier-ignore
  const hosted = await ScratchRepository.clone(work.path, `${at}/hosted.git`, '--bare');
  if (writes === 'none') await refuse(hosted);
  const mirror = await openMirror(`${at}/mirror.git`, { url: hosted.path, refs: ['refs/heads/main'] });
  await mirror.fetch(new Map());
  const remote = new ApprovedRefs(`${at}/mirror.git`, { url: hosted.path }, 'refs/heads/countersign/approved');
  const watch = new RefWatch(remote, 50);
  const [log, decisions, foreign, states] = [new RunRecorder(), new DecisionLog(), [] as ForeignMove[], [] as ReconcilerState[]]; // prettier-ignore
  const told: { by: Account | null } = { by: null };
  const keeper = new ApprovedRefKeeper('shop', 'shop/production', {
    gate: { target: 'prod', remote, watch, peers: null, refOf: () => REF },
    url: hosted.path,
    log,
    history: {
      left: () => Promise.resolve(left?.(commits) ?? { at: null, perhaps: new Set() }),
      foreign: (move) => Promise.resolve(void foreign.push(move)),
      pusher: () => told.by,
    },
    grants: everything,
    epoch: () => 1,
    onState: (state) => states.push(state),
  });
  opened.push(async () => {
    await keeper.stop();
    await watch.close();
    await mirror.close();
  });
  const environment = environmentNamed('shop/production', 'shop');
  const approve = async (n: number, reconcile?: ReconcileSettings): Promise<ApprovedChange> => {
    const change = await decisions.approved({ ...environment, ...(reconcile && { reconcile }) }, commits[n], []);
    keeper.approve(change);
    return change;
  };
  const tip = (): Promise<string> => hosted.git('rev-parse', '--verify', '--quiet', REF).catch(() => 'none');
  return { keeper, log, states, commits, hosted, work, approve, tip, foreign, told };
}

async function refuse(hosted: ScratchRepository, words = 'protected branch'): Promise<void> {
  await mkdir(`${hosted.path}/hooks`, { recursive: true });
  await writeFile(`${hosted.path}/hooks/pre-receive`, `#!/bin/sh\necho ${words} >&2\nexit 1\n`);
  await chmod(`${hosted.path}/hooks/pre-receive`, 0o755);
}

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

describe('the ref that others follow', () => {
  it('is where the approved commit is, forward and back, with each move in the log before and after it', async () => {
    const { keeper, log, approve, tip, commits } = await world();
    let before: string | undefined;
    log.beforeStart = async () => void (before ??= await tip());
    await approve(0);
    await keeper.settled();
    expect(before).toBe('none');
    expect(await tip()).toBe(commits[0]);
    await approve(2);
    await keeper.settled();
    await approve(1); // a rollback
    await keeper.settled();
    expect(await tip()).toBe(commits[1]);
    expect(log.runs.map(({ run, end }) => [run.move, run.planned[0].op, end?.outcome])).toEqual([
      [{ ref: REF, from: null, to: commits[0], forced: false }, 'create', 'succeeded'],
      [{ ref: REF, from: commits[0], to: commits[2], forced: false }, 'update', 'succeeded'],
      [{ ref: REF, from: commits[2], to: commits[1], forced: true }, 'update', 'succeeded'],
    ]);
    expect(keeper.state).toMatchObject({ status: 'synced', trouble: null, gate: { ref: REF, commit: commits[1] } });
  });

  it('is moved by nothing but an approved change', async () => {
    const { keeper, tip, commits, hosted, work } = await world();
    const forged = { repository: 'shop', environment: { name: 'shop/production' }, head: commits[0], objects: [] };
    expect(() => keeper.approve(forged as unknown as ApprovedChange)).toThrow('did not pass the gate');
    const remote = new ApprovedRefs(work.path, { url: hosted.path }, 'refs/heads/countersign/approved');
    await expect(remote.move(REF, null, forged as unknown as ApprovedChange)).rejects.toMatchObject({ code: 'not-approved' }); // prettier-ignore
    expect(await tip()).toBe('none');
  });

  it('is no other ref than those under its folder', async () => {
    const { approve, hosted, work, commits } = await world();
    const remote = new ApprovedRefs(`${work.path}/.git`, { url: hosted.path }, 'refs/heads/countersign/approved');
    await expect(remote.move('refs/heads/main', commits[2], await approve(0))).rejects.toMatchObject({ code: 'not-approved' }); // prettier-ignore
    expect(await hosted.head('main')).toBe(commits[2]);
  });

  it('that somebody moves or deletes is told of, by name where the forge said it, and moved back', async () => {
    const { keeper, log, approve, tip, commits, hosted, foreign, told } = await world();
    await approve(1);
    await keeper.settled();
    told.by = { forge: 'github', name: 'mallory' };
    await hosted.git('update-ref', REF, commits[2]);
    await until('it is moved back', async () => (await tip()) === commits[1]);
    await keeper.settled();
    expect(foreign).toMatchObject([{ ref: REF, kind: 'advanced', old: commits[1], new: commits[2], by: { name: 'mallory' } }]); // prettier-ignore
    expect(log.drifts).toMatchObject([
      {
        type: 'modified',
        identity: { kind: 'ApprovedRef', name: REF },
        fields: [{ type: 'changed', path: 'commit', desired: commits[1], live: commits[2] }],
        attribution: { strength: 'likely', source: 'forge', user: { name: 'mallory' } },
      },
    ]);
    expect(log.runs.at(-1)).toMatchObject({ run: { reason: 'repair', move: { from: commits[2], to: commits[1], forced: true } } }); // prettier-ignore
    told.by = null;
    await hosted.git('update-ref', '-d', REF);
    await until('it is made again', async () => (await tip()) === commits[1]);
    await keeper.settled();
    expect(log.drifts.at(-1)).toMatchObject({ type: 'deleted', attribution: { strength: 'none' } });
  });

  it('is only watched where drift is only reported, and where the environment is suspended', async () => {
    const { keeper, log, approve, tip, commits, hosted } = await world();
    keeper.configure({ drift: 'report' });
    await approve(1);
    await keeper.settled();
    await hosted.git('update-ref', REF, commits[0]);
    await until('it is reported', () => keeper.state.status === 'degraded');
    expect(keeper.state.trouble).toMatchObject({ code: 'drifted' });
    expect(await tip()).toBe(commits[0]);
    const { length } = log.runs;
    keeper.configure({ suspend: { reason: 'INC-7' } });
    await until('it is suspended', () => keeper.state.status === 'suspended');
    expect(await tip()).toBe(commits[0]);
    expect(log.runs).toHaveLength(length);
    keeper.configure(undefined);
    await until('it is moved back', async () => (await tip()) === commits[1]);
  });

  it('waits for its window, and what is approved is kept where it is meanwhile', async () => {
    const { keeper, approve, tip, commits } = await world();
    await approve(0);
    await keeper.settled();
    keeper.configure({ windows: [{ kind: 'deny', schedule: '* * * * *', duration: 3_600_000, reason: 'freeze' }] });
    await approve(1);
    await until('it waits', () => keeper.state.status === 'suspended');
    await keeper.settled();
    expect(await tip()).toBe(commits[0]);
    keeper.configure(undefined);
    await until('it goes on', async () => (await tip()) === commits[1]);
  });

  it('of somebody else is not taken over, unless nothing of theirs is lost', async () => {
    const other = await world();
    const theirs = await other.work.commit({ author: ann, sign: false, message: 'theirs' });
    await other.work.push(other.hosted.path, `${theirs}:${REF}`);
    await other.approve(1);
    await until('it is refused', () => other.keeper.state.trouble !== null);
    expect(other.keeper.state.trouble).toMatchObject({ code: 'object-claimed' });
    expect(await other.tip()).toBe(theirs);
    expect(other.log.runs).toEqual([]);

    const earlier = await world();
    await earlier.hosted.git('update-ref', REF, earlier.commits[0]);
    await earlier.approve(1);
    await earlier.keeper.settled();
    expect(earlier.log.runs).toMatchObject([{ run: { planned: [{ op: 'adopt' }] }, drifts: [] }]);
    expect(await earlier.tip()).toBe(earlier.commits[1]);
  });

  it('that a run left before it could say so is no work of others', async () => {
    const { keeper, log, approve, hosted, commits } = await world({
      left: () => ({ at: 'f'.repeat(40), perhaps: new Set() }),
    });
    await hosted.git('update-ref', REF, commits[0]);
    await approve(1);
    await keeper.settled();
    expect(log.drifts).toHaveLength(1);
    const killed = await world({ left: (all) => ({ at: 'f'.repeat(40), perhaps: new Set(all) }) });
    await killed.hosted.git('update-ref', REF, killed.commits[0]);
    await killed.approve(1);
    await killed.keeper.settled();
    expect(killed.log.drifts).toEqual([]);
    expect(await killed.tip()).toBe(killed.commits[1]);
  });

  it('that the remote protects from us stays where it is, and says why in its words', async () => {
    const { keeper, log, approve, tip } = await world({ writes: 'none' });
    await approve(1);
    await until('it fails', () => keeper.state.status === 'failed');
    expect(keeper.state.trouble).toMatchObject({ code: 'git-failed', message: expect.stringContaining('protected branch') as string }); // prettier-ignore
    expect(log.runs).toMatchObject([{ end: { outcome: 'failed', results: [{ outcome: 'failed' }] } }]);
    expect(await tip()).toBe('none');
  });

  it('is not touched where it moved in the moment of the push, nor by whom a newer decision overtook', async () => {
    const { keeper, log, approve, tip, commits, hosted } = await world();
    await approve(0);
    await keeper.settled();
    let once = true;
    log.beforeStart = async () => {
      if (once) await hosted.git('update-ref', REF, commits[1]);
      once = false;
    };
    await approve(2);
    await until('it is where it should be', async () => (await tip()) === commits[2]);
    await keeper.settled();
    expect(log.runs.map(({ end }) => end?.outcome)).toEqual(['succeeded', 'failed', 'succeeded']);
    expect(log.runs[1].end?.trouble).toMatchObject({ code: 'ref-moved' });
    expect(log.drifts).toHaveLength(1);
    const older = await approve(0);
    await approve(1);
    expect(() => keeper.approve(older)).toThrow('is older');
  });

  it('is not moved while nothing can be recorded', async () => {
    const { keeper, log, approve, tip } = await world();
    log.fail = new Error('the database is away');
    await approve(0);
    await until('it fails', () => keeper.state.status === 'failed');
    expect(await tip()).toBe('none');
  });
});
