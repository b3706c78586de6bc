import { ERASED, Subject } from './subject.js';

const subject = new Subject(['Ann@Example.org', 'Ann Vøllestad']);

it.each([
  'ann@example.org',
  'Signed-off-by: Someone <ANN@example.ORG>',
  String.raw`{"message":"fix\nann@example.org"}`,
  String.raw`{"by":"\u003cann@example.org\u003e"}`,
  'asked by ann vøllestad.',
  `data: ${Buffer.from('CN=Ann, ann@example.org').toString('base64')}`,
  `data: ${Buffer.from('x ann@example.org!').toString('base64')}`,
  `data: ${Buffer.from('xy Ann Vøllestad').toString('base64')}`,
])('finds the person in %s', (text) => {
  expect(subject.isIn(Buffer.from(text))).toBe(true);
});

it.each([
  'joann@example.org',
  'ann@example.org.uk',
  'ann@example.organic',
  'annotations',
  'x-ann@example.org',
  'Vøllestad',
])('takes nobody else for the person: %s', (text) => {
  expect(subject.isIn(Buffer.from(text))).toBe(false);
  expect(subject.scrub(text)).toBe(text);
});

it('scrubs keys, values, and the name beside an address', () => {
  const row = {
    author: { name: 'A. V.', email: 'ann@example.org', time: 1 },
    committer: { name: 'Bo', email: 'bo@example.org' },
    labels: { 'ann@example.org': ['by Ann Vøllestad', 2, null] },
    principal: 'ANN@example.org',
    person: 'av',
    account: { forge: 'github', name: 'av-codes' },
  };
  expect(subject.scrubJson(row)).toEqual({
    author: { name: ERASED, email: ERASED, time: 1 },
    committer: { name: 'Bo', email: 'bo@example.org' },
    labels: { [ERASED]: [`by ${ERASED}`, 2, null] },
    principal: ERASED,
    person: ERASED,
    account: { forge: 'github', name: ERASED },
  });
});

it('has a digest that tells nothing without the salt, and is not fooled by order or case', () => {
  const salt = Buffer.alloc(32, 1);
  const same = new Subject(['ann vøllestad', 'ann@example.org']);
  expect(same.isOf(subject.digest(salt), salt)).toBe(true);
  expect(same.isOf(subject.digest(salt), Buffer.alloc(32, 2))).toBe(false);
  expect(new Subject(['ann@example.org']).isOf(subject.digest(salt), salt)).toBe(false);
});

it.each([[[]], [['an']], [['  ']]])('refuses %j, which is in anything', (terms) => {
  expect(() => new Subject(terms)).toThrow('too short');
});
