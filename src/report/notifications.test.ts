import { eventFaults, isSigned, startReceiver, type Receiver } from '../../test/support/cloud-events.js';
import { post } from '../adapters/notifications/http.js';
import type { LoggedEntry } from '../audit/entry.js';
import type { JsonObject } from '../cluster/object.js';
import { chatMessage, cloudEvent } from './cloud-event.js';
import { newsOf, sentenceOf, type News } from './news.js';
import { Notifier, wanted, type Cursor, type Cursors, type Destination } from './notifications.js';

const entry = (index: number, type: LoggedEntry['type'], predicate: JsonObject): LoggedEntry => ({
  index,
  type,
  time: '2026-11-21T10:00:00.000Z',
  leafHash: 'a'.repeat(64),
  subjects: [],
  predicate,
  envelope: Buffer.from('{}'),
});
const shop = { repository: 'shop', environment: 'shop/production' };
const head = '8be0d41f'.repeat(5);
const object = { group: 'apps', version: 'v1', kind: 'Deployment', namespace: 'shop', name: 'cart' };
const entries = [
  entry(0, 'genesis', { repository: 'shop' }),
  entry(1, 'push', { ...shop, new: head }),
  entry(2, 'decision', {
    ...shop,
    head,
    outcome: 'deny',
    rules: ['images.pinned'],
    contents: { input: { sha256: 'x' } },
  }),
  entry(3, 'decision', { ...shop, head, outcome: 'allow', advice: true }),
  entry(4, 'run', { ...shop, head, phase: 'finished', outcome: 'failed', trouble: 'cluster-refused' }),
  entry(5, 'drift', { ...shop, object, type: 'modified', strength: 'weak' }),
  entry(6, 'action', { ...shop, action: 'return', from: head, to: null }),
  entry(7, 'decision', { repository: 'pay', environment: 'pay/test', head, outcome: 'allow', rules: [] }),
  entry(8, 'access', { token: 'ci' }),
];
const news = entries.flatMap((one) => newsOf(one) ?? []);

const chosen = (filter: Parameters<typeof wanted>[0]) => news.filter(wanted(filter)).map(({ index }) => index);

describe('news', () => {
  it('are what happened to environments, without what a leaf names by digest, and with no advice', () => {
    expect(news.map(({ type, outcome, index }) => [type, outcome, index])).toEqual([
      ['decision.recorded', 'deny', 2],
      ['run.finished', 'failed', 4],
      ['drift.found', 'weak', 5],
      ['environment.returned', 'refused', 6],
      ['decision.recorded', 'allow', 7],
    ]);
    expect(JSON.stringify(news)).not.toContain('contents');
    expect(news.map(sentenceOf)).toEqual([
      'shop shop/production: deny 8be0d41f8be0: images.pinned',
      'shop shop/production: run for 8be0d41f8be0 failed: cluster-refused',
      'shop shop/production: Deployment shop/cart differs from what is approved (modified)',
      'shop shop/production: the rollout of 8be0d41f8be0 failed, and it stays',
      'pay pay/test: allow 8be0d41f8be0',
    ]);
  });

  it('are CloudEvents 1.0 by the standard’s own schema', () => {
    for (const one of news) expect(eventFaults(cloudEvent(one, 'countersign.example.org/prod 1'))).toEqual([]);
    expect(cloudEvent(news[0], 'countersign.example.org/prod')).toEqual({
      specversion: '1.0',
      id: '2',
      source: '//countersign.example.org/prod',
      type: 'dev.countersign.decision.recorded',
      time: '2026-11-21T10:00:00.000Z',
      subject: 'shop/shop/production',
      ...shop,
      outcome: 'deny',
      datacontenttype: 'application/json',
      data: { index: 2, ...shop, head, outcome: 'deny', rules: ['images.pinned'], summary: sentenceOf(news[0]) },
    });
    expect(eventFaults({ specversion: '1.0', id: '', source: 'a b', wrong_name: 1 })).toHaveLength(2);
  });

  it('fit a template for a chat, in which nothing of theirs is a mark', () => {
    const evil = { ...news[0], environment: '<!channel> & {outcome}' };
    expect(chatMessage(evil, '*{outcome}* {environment} {unknown}')).toEqual({
      text: '*deny* &lt;!channel&gt; &amp; {outcome} {unknown}',
    });
  });

  it('are chosen by globs of type, repository, environment and outcome', () => {
    expect(chosen({})).toHaveLength(5);
    expect(chosen({ environments: ['*'] })).toHaveLength(5);
    expect(chosen({ types: ['decision.*'] })).toEqual([2, 7]);
    expect(chosen({ types: ['decision.*', 'run.*'], outcomes: ['deny', 'failed'] })).toEqual([2, 4]);
    expect(chosen({ repositories: ['pay'] })).toEqual([7]);
    expect(chosen({ environments: ['*/production'] })).toEqual([2, 4, 5, 6]);
  });
});

/** A fake of the port, which forgets nothing but may be told to fail. */
class KeptCursors implements Cursors {
  cursor: Cursor | null = null;
  fault: string | null = null;
  failing = false;

  async of(_: string, end: number): Promise<Cursor> {
    return (this.cursor ??= { next: end, told: [] });
  }

  async move(_: string, to: Cursor): Promise<void> {
    if (this.failing) throw new Error('the database is away');
    [this.cursor, this.fault] = [to, null];
  }

  async failed(_: string, fault: string): Promise<void> {
    this.fault = fault;
  }

  async keep(): Promise<void> {}
}

describe('a destination', () => {
  const lease = { held: true };
  const log = { end: 0 };
  const ledger = {
    size: async () => log.end,
    async *entries(from: number, to: number) {
      yield* entries.slice(from, to);
    },
  };
  const standing: News[] = [];
  let cursors: KeptCursors;
  let told: (number | null)[];
  let refusing: number | undefined;
  const notifier = (destination: Partial<Destination> = {}) =>
    new Notifier(
      { name: 'ops', ...destination },
      {
        ledger,
        cursors,
        standing: async () => standing,
        deliver: async ({ index }) => {
          if (index === refusing) throw new Error('no');
          told.push(index);
        },
      },
    );
  beforeEach(() => {
    [cursors, told, refusing, log.end] = [new KeptCursors(), [], undefined, 0];
    standing.length = 0;
  });

  it('hears of what comes after it was configured, in the order of the log, once', async () => {
    log.end = 3;
    await notifier().round(lease);
    expect(told).toEqual([]);
    log.end = entries.length;
    await notifier().round(lease);
    await notifier().round(lease);
    expect(told).toEqual([4, 5, 6, 7]);
  });

  it('that is away hears of all of it later, from where it ended', async () => {
    await notifier().round(lease);
    [log.end, refusing] = [entries.length, 5];
    await expect(notifier().round(lease)).rejects.toThrow('no');
    expect([told, cursors.fault]).toEqual([[2, 4], 'no']);
    refusing = undefined;
    await notifier().round(lease);
    expect([told, cursors.fault, cursors.cursor?.next]).toEqual([[2, 4, 5, 6, 7], null, entries.length]);
  });

  it('hears of something twice rather than never, where it cannot be noted that it was told', async () => {
    await notifier().round(lease);
    [log.end, cursors.failing] = [entries.length, true];
    await expect(notifier().round(lease)).rejects.toThrow('away');
    cursors.failing = false;
    await notifier().round(lease);
    expect(told).toEqual([2, 2, 4, 5, 6, 7]);
  });

  it('is left to another instance in the middle of it', async () => {
    await notifier().round(lease);
    log.end = entries.length;
    await notifier().round({
      get held() {
        return told.length < 2;
      },
    });
    expect(told).toEqual([2, 4]);
  });

  it('hears once of what stands as long as it stands, and again when it comes back', async () => {
    const fault: News = { ...news[0], type: 'log.trouble', index: null, id: 'log-mirror-unavailable', outcome: 'x' };
    standing.push(fault);
    await notifier().round(lease);
    await notifier().round(lease);
    expect(told).toEqual([null]);
    standing.length = 0;
    await notifier().round(lease);
    standing.push(fault);
    await notifier().round(lease);
    expect(told).toEqual([null, null]);
    await notifier({ types: ['decision.*'] }).round(lease);
    expect(told).toHaveLength(2);
  });
});

describe('delivery', () => {
  let receiver: Receiver;
  const secret = 'a secret of some length';
  beforeAll(async () => {
    receiver = await startReceiver();
  });
  afterAll(() => receiver.close());
  const send = () => post({ url: receiver.url, secret }, { id: '7', body: '{"ä":1}', contentType: 'application/json' });

  it('is signed over id, time and body', async () => {
    await send();
    expect(receiver.received).toMatchObject([{ body: '{"ä":1}', headers: { 'webhook-id': '7' } }]);
    expect(isSigned(receiver.received[0], secret)).toBe(true);
    expect(isSigned({ ...receiver.received[0], body: '{"ä":2}' }, secret)).toBe(false);
  });

  it.each([302, 404, 410, 500])(
    'fails where it is answered %i, goes nowhere else, and never says the address',
    async (answer) => {
      receiver.state.answer = answer;
      await expect(send()).rejects.toMatchObject({
        code: 'notification-failed',
        retry: true,
        message: expect.not.stringContaining('hush') as string,
      });
      expect(receiver.received).toHaveLength(1);
    },
  );

  it('fails where nobody answers', async () => {
    await receiver.close();
    await expect(send()).rejects.toMatchObject({ message: expect.stringContaining('cannot be reached') as string });
  });
});
