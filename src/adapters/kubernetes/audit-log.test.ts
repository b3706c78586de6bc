import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvent, readEventList } from './audit-events.js';
import { AuditLogReader } from './audit-log.js';

const event = (name: string, more: object = {}): object => ({
  kind: 'Event',
  apiVersion: 'audit.k8s.io/v1',
  auditID: `id-${name}`,
  stage: 'ResponseComplete',
  requestURI: `/apis/apps/v1/namespaces/shop/deployments/${name}?fieldManager=kubectl-edit`,
  verb: 'patch',
  user: { username: 'dana', groups: ['system:authenticated'] },
  sourceIPs: ['10.1.2.3'],
  userAgent: 'kubectl/v1.34',
  objectRef: { resource: 'deployments', namespace: 'shop', name, apiGroup: 'apps', apiVersion: 'v1' },
  responseStatus: { metadata: {}, code: 200 },
  requestReceivedTimestamp: '2026-11-21T12:00:00.123456Z',
  ...more,
});

const line = (name: string): string => `${JSON.stringify(event(name))}\n`;

describe('an audit event', () => {
  it('is a write with its user, the version that it left, and who really called', () => {
    expect(readEvent(event('cart', { responseObject: { metadata: { uid: 'u', resourceVersion: '9' } } }))).toEqual({
      source: 'audit',
      id: 'id-cart',
      verb: 'patch',
      group: 'apps',
      resource: 'deployments',
      kind: null,
      subresource: '',
      namespace: 'shop',
      name: 'cart',
      user: { name: 'dana', groups: ['system:authenticated'], impersonatedBy: null, addresses: ['10.1.2.3'], agent: 'kubectl/v1.34' }, // prettier-ignore
      uid: 'u',
      resourceVersion: '9',
      time: Date.parse('2026-11-21T12:00:00.123Z'),
    });
    expect(readEvent(event('cart', { impersonatedUser: { username: 'erin', groups: ['g'] } }))).toMatchObject({
      user: { name: 'erin', groups: ['g'], impersonatedBy: 'dana' },
    });
  });

  it.each([
    ['a read', { verb: 'get' }],
    ['refused', { responseStatus: { code: 409 } }],
    ['a dry run', { requestURI: '/api/v1/namespaces/shop/configmaps?dryRun=All' }],
    ['not answered yet', { stage: 'RequestReceived' }],
    ['about no object', { objectRef: undefined }],
  ])('is none where it is %s', (_, more) => {
    expect(readEvent(event('cart', more))).toBeNull();
  });

  it('is counted where it cannot be read', () => {
    const items = [event('a'), { auditID: 1 }, null];
    expect(readEventList({ apiVersion: 'audit.k8s.io/v1', kind: 'EventList', items })).toMatchObject({ unreadable: 2 });
    expect(readEventList({ apiVersion: 'audit.k8s.io/v1', kind: 'Event' })).toBeNull();
  });
});

describe('an audit log', () => {
  let folder: string;
  let path: string;
  let reader: AuditLogReader;
  let found: string[] = [];
  let lost: string[] = [];

  const until = async (what: () => boolean): Promise<void> => {
    for (const deadline = Date.now() + 10_000; !what();) {
      if (Date.now() > deadline) throw new Error(`never: ${JSON.stringify({ found, lost })}`);
      await sleep(5);
    }
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-audit-'));
    path = join(folder, 'audit.log');
    [found, lost] = [[], []];
    await writeFile(path, line('before'));
    reader = new AuditLogReader({
      path,
      found: (writes) => found.push(...writes.map(({ name }) => name)),
      lost: (reason) => lost.push(reason.replace(path, 'it')),
      every: 5,
    });
    await reader.start();
  });
  afterEach(async () => {
    await reader.stop();
    await rm(folder, { recursive: true });
  });

  it('is followed from its end through half lines and rotations, with nothing lost', async () => {
    const whole = line('two');
    await appendFile(path, line('one') + whole.slice(0, 30));
    await until(() => found.length === 1);
    await appendFile(path, whole.slice(30) + line('three'));
    await rename(path, `${path}.1`);
    await appendFile(`${path}.1`, line('late'));
    await writeFile(path, line('four'));
    await until(() => found.length === 5);
    expect(found).toEqual(['one', 'two', 'three', 'late', 'four']);
    expect(lost).toEqual([]);
  });

  it('says what of it is missing: lines cut off, cut out or unreadable', async () => {
    await appendFile(path, `not JSON\n${line('one')}`);
    await until(() => found.length === 1);
    await appendFile(path, line('two').slice(0, 40));
    await sleep(20);
    await rename(path, `${path}.1`);
    await writeFile(path, line('three'));
    await until(() => found.length === 2);
    await truncate(path, 0);
    await until(() => lost.length === 3);
    await rm(path);
    await writeFile(path, line('four'));
    await until(() => found.length === 3);
    expect(found).toEqual(['one', 'three', 'four']);
    expect(lost).toEqual([
      'a line of it cannot be read as an event',
      'it was rotated in the middle of a line',
      'it was cut: what it held may not have been read',
    ]);
  });
});
