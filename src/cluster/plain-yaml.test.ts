import { readPlainYaml } from './plain-yaml.js';
import { loadYaml } from './yaml.js';

const plainOf = (text: string) => readPlainYaml(Buffer.from(text));

/** What the full reader makes of a text of one document; undefined for all else. */
function inFull(text: string): { value: string } | undefined {
  try {
    const { documents, inexact } = loadYaml(text, { depth: 100, aliases: 1000 }, () => undefined);
    if (documents.length > 1 || inexact.length > 0) return undefined;
    return { value: JSON.stringify(documents[0] ?? null) };
  } catch {
    return undefined;
  }
}

/** Whether it is read at all; what is read must be what the full reader reads. */
function same(text: string): boolean {
  const plain = plainOf(text);
  expect({ text, ...(plain && { value: JSON.stringify(plain.value) }) }).toEqual({ text, ...(plain && inFull(text)) });
  return plain !== undefined;
}

const MANIFEST = `# A comment.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart # another
  labels: {app: cart, "tier": 'front'}
  annotations:
    "quoted": "a \\"b\\" \\\\ c\\n"
    single: 'it''s: one'
    empty: ""
    none: null
spec:
  replicas: 3
  paused: off
  ratio: 0.5
  octal: 010
  hex: 0x1F
  date: 2020-01-01
  time: 1:20
  version: 1.2.3
  tilde: ~
  nothing:
  url: http://shop:80/a#b
  template:
    spec:
      containers:
      - name: cart
        args: ["--flag=1", run, 5]
        command: []
        env:
          - name: A
            value: "1"

          - {name: B, value: b}
          -
            name: C
          - - nested
            - -1
      - name: side
data:
  script: |
    #!/bin/sh
      indented: yes

    echo "---"
  stripped: |-
    one
    two


  after: é — ü
  folded: >
    one
    two

    three
      deeper


      still
    back
  chomped: >-

    only
    this
  plain: it goes
    on, and - on

    past "quotes" too
  single: 'it''s
    one

    two   '
  double: "a \\
    b\\n\\
    \\  c \\u00e9
    d"
`;

describe('readPlainYaml', () => {
  it('reads what most manifests are written with as the full reader does', () => {
    expect(same(MANIFEST)).toBe(true);
    expect(same(`---\n${MANIFEST}`)).toBe(true);
    expect(same(`\n--- # comment\n\n${MANIFEST}`)).toBe(true);
    expect(plainOf(`---\n# c\n\na: 1\n`)).toEqual({ value: { a: 1 }, line: 4 });
  });

  it('reads text in quotes and lists on one line with all that they may hold', () => {
    for (const text of [
      `a: "x #y" # z\n`,
      `a: 'it''s #1' # z\n`,
      `a: ["x #y", 'z, w', 1.5, 1e3, yes, "1"] # c\n`,
      `a: {"b": 'c', d: 0x1F, "e#": f, g: 1_000}\n`,
      `'k"q': 'v"w\\'\nb: back\\slash\n`,
      `a: [1000000, 0.00001, 0o17, 1., .5]\nb: -0\nc: -0.0\nd: +1\ne: 0.1e-7\n`,
      `a: "\\u00e9\\t\\/"\nb: "\n  x\n  "\nc: '\n\n  x'\n`,
      `a: ["it's", 'it''s', "\\""]\n`,
    ])
      expect(same(text)).toBe(true);
  });

  it('reads lists, and documents that say nothing', () => {
    for (const text of [
      '- a\n',
      '- op: add\n  value: {a: b}\n- - 1\n- x\n  y\n',
      '',
      '# c\n',
      '---\n',
      '\n--- # c\n\n',
    ]) {
      expect(same(text)).toBe(true);
    }
  });

  it('sees a key written twice in a mapping of many', () => {
    const many = Array.from({ length: 300 }, (_, i) => `k${i}: ${i}\n`).join('');
    expect(same(many)).toBe(true);
    expect(same(`a:\n${many.replace(/^/gm, '  ').trimEnd()}\nb: {k1: 1}\n`)).toBe(true);
    expect(plainOf(`${many}k17: 0\n`)).toBeUndefined();
    expect(plainOf(`${many}"k280": 0\n`)).toBeUndefined();
  });

  it.each([
    'a: 1\na: 2\n',
    'a: &x 1\n',
    'a: *x\n',
    'a: !!str 1\n',
    '<<: {a: 1}\n',
    'a: |+\n  x\n',
    'a: >2\n   x\n',
    'a: x # c\n  y\n',
    'a: x\n  # c\n  y\n',
    'a: x\n  y: z\n',
    'a: "x\ny"\n',
    'a: "x\\ \n  y"\n',
    'a: "x\\\n\n  y"\n',
    'a: "\\ud83d\\ude00"\n',
    'a: "\\x41"\n',
    'a: |2\n   x\n',
    'a: b: c\n',
    'a:\tb\n',
    '? a\n: b\n',
    'text\n',
    'on: 1\n',
    '1: a\n',
    'a: 1\n---\nb: 2\n',
    '%YAML 1.1\n---\na: 1\n',
    'a: 1\n...\n',
    'a: [1, [2]]\n',
    'a: {b: {c: 1}}\n',
    'a: [x\n',
    'a: @b\n',
    'a: 9007199254740993\n',
    'a: .inf\n',
    '\ufeffa: 1\n',
    'a: 1\r\n',
    'a:\n   b: 1\n  c: 2\n',
    'a:\n  b: 1\n   c: 2\n',
    'a: |\n  x',
    'a: |\n\n    \n  x\n',
    'a: |\nb: 1\n',
    "a: 'x'y'\n",
    'a: {b}\n',
    'a: {b: 1, b: 2}\n',
    'a: ,\n',
    'a: x:\n',
    '"<<": 1\n',
  ])('leaves %j to the full reader', (text) => {
    expect(plainOf(text)).toBeUndefined();
  });

  it('agrees with the full reader on whatever else it reads: manifests with lines changed, moved and mangled', () => {
    let state = 11;
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const bits = [
      ' ',
      '  ',
      '-',
      '- ',
      ':',
      ': ',
      '#',
      ' #',
      '"',
      "'",
      '|',
      '[',
      ']',
      '{',
      '}',
      ',',
      '\n',
      'a',
      '1',
      '.',
      '~',
      '---',
      '0',
      'y',
      '>',
      '\\',
      '\n    ',
      '\n\n      ',
    ];
    const lines = MANIFEST.split('\n');
    let read = 0;
    for (let i = 0; i < 4000; i++) {
      const start = next(lines.length);
      const some = lines.slice(start, start + 1 + next(12));
      for (let n = next(3); n > 0; n--) {
        const at = next(some.length);
        const line = some[at];
        const cut = next(line.length + 1);
        some[at] = line.slice(0, cut) + bits[next(bits.length)] + line.slice(cut + next(2));
      }
      if (next(3) === 0) some.splice(next(some.length), 1);
      if (same(`${some.join('\n')}\n`)) read++;
    }
    expect(read).toBeGreaterThan(700);
  });
});
