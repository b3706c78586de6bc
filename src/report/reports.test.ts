import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { readManifest } from '../cluster/manifest.js';
import { CountersignError } from '../errors.js';
import type { Decision, Violation } from '../policy/decision.js';
import { CONFTEST_FORMATS } from './conftest.js';
import { jsonReport } from './json.js';
import { junitReport } from './junit.js';
import { sarifReport } from './sarif.js';
import { textReport } from './text.js';
import { outcomeOf, type Report, type Verdict } from './verdict.js';

const [object] = readManifest(
  'a b/x.yaml',
  Buffer.from('apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\n'),
).objects;
const violation = (rest: Partial<Violation>): Violation => ({
  rule: 'images.pinned',
  kind: 'deny',
  message: 'image "x" <is> & not pinned',
  severity: 'high',
  controls: ['SOC2:CC8.1'],
  place: { file: 'policies/images.rego', line: 14 },
  object: object.identity,
  source: { path: 'a b/x.yaml', line: 3 },
  fix: 'pin it',
  ...rest,
});
const about = { object: undefined, source: undefined };

function verdict(rest: Partial<Verdict['decision']>): Verdict {
  return {
    base: 'main',
    head: 'feature',
    lawFrom: 'main 1111111',
    rules: [
      {
        id: 'images.pinned',
        package: 'p',
        name: 'deny',
        kind: 'deny',
        scope: 'object',
        severity: 'high',
        controls: [],
        place: { file: 'f' },
        starter: true,
        title: 'Pinned',
      },
      {
        id: 'other',
        package: 'p',
        name: 'warn',
        kind: 'warn',
        scope: 'object',
        severity: 'low',
        controls: [],
        place: { file: 'f' },
        starter: true,
      },
    ],
    change: {
      environment: {
        name: 'shop/prod',
        path: '',
        ref: 'refs/heads/main',
        target: null,
        namespace: null,
        labels: {},
        ignore: [],
      },
      base: '1'.repeat(40),
      head: '2'.repeat(40),
      headTree: '',
      commits: [],
      changes: [],
      rendered: [],
      problems: [],
      otherDocuments: new Map([['values.yaml', 2]]),
      notRendered: ['app'],
    },
    decision: {
      outcome: 'deny',
      violations: [violation({})],
      warnings: [],
      required: [],
      excepted: [],
      exceptions: [],
      rulesRun: 2,
      rulesPassed: 1,
      bundleDigest: '9c41aa',
      wasmDigest: '',
      inputDigest: '',
      resultDigest: '',
      ...rest,
    },
  };
}

const exception: Decision['exceptions'][number] = {
  id: 'e1',
  rule: 'images.pinned',
  scope: { environment: 'shop/prod', kind: 'Pod', namespace: 'shop', name: 'p' },
  principal: 'bo@example.org',
  reason: 'vendor image',
  ticket: 'OPS-7',
  expires: '2026-08-01T00:00:00.000Z',
};
const excepted: Partial<Decision> = {
  outcome: 'allow',
  violations: [],
  excepted: [violation({ exception: 'e1' })],
  exceptions: [exception],
};

const report = (...verdicts: Verdict[]): Report => ({ verdicts, notes: ['a note'], seconds: 0.21, version: '1.2.3' });
const text = (of: Report) => textReport(of, { color: false, printable: (line) => line });

const of = (...outcomes: Verdict['decision']['outcome'][]) =>
  outcomeOf(report(...outcomes.map((outcome) => verdict({ outcome }))));

describe('outcomeOf', () => {
  it('is the worst of all environments, and what could not be judged is worse than what is denied', () => {
    expect([of('allow', 'deny'), of('deny', 'error'), of('allow', 'pending'), of()]).toEqual([
      'deny',
      'error',
      'pending',
      'allow',
    ]);
  });
});

describe('textReport', () => {
  it('says the verdict first, then why, then what it was judged by', () => {
    expect(text(report(verdict({}))).split('\n')).toEqual([
      '✗ denied   shop/prod   main 1111111 → feature 2222222   no object changed',
      '',
      '  a b/x.yaml:3   Pod shop/p',
      '    image "x" <is> & not pinned',
      '    rule   images.pinned (policies/images.rego:14)      control  SOC2:CC8.1',
      '    fix    pin it',
      '    or     ask for an exception: countersign exception request images.pinned --env shop/prod --object Pod/shop/p',
      '',
      '  not rendered yet, so not judged: app (Kustomize or Helm)',
      '  2 documents without apiVersion and kind: values.yaml',
      '',
      '  0 warnings, 1 rule passed, 0 exceptions used   policy 9c41… from main 1111111   0.21 s',
      '',
      'note  a note',
    ]);
  });

  it('tells a rule once for all it says about one object', () => {
    const said = text(
      report(verdict({ violations: [violation({}), violation({ message: 'image "y" is not pinned' })] })),
    );
    expect(said.match(/rule {3}images\.pinned/g)).toHaveLength(1);
    expect(said.match(/is not pinned|not pinned/g)).toHaveLength(2);
  });

  it('counts the exceptions used, and says what each covers, for whom and until when', () => {
    const said = text(report(verdict(excepted)));
    expect(said).toContain(
      'exception  images.pinned for Pod shop/p in shop/prod: 1 finding not counted, signed by bo@example.org, OPS-7, until 2026-08-01',
    );
    expect(said).toContain('1 exception used');
  });

  it('when it could not be judged, says why and where', () => {
    const error = {
      code: 'policy-timeout',
      message: 'a rule took too long',
      place: { file: 'policies/a.rego', line: 3 },
    };
    expect(text(report(verdict({ outcome: 'error', violations: [], error })))).toMatch(
      /^! could not be judged[^]*policies\/a\.rego:3 {2}a rule took too long/,
    );
  });
});

const sarifAt = (line: number) => {
  const sarif = sarifReport(
    report(
      verdict({
        violations: [violation({ source: { path: 'a b/x.yaml', line } })],
        warnings: [violation({ kind: 'warn', rule: 'other' })],
      }),
    ),
  );
  return sarif as unknown as {
    version: string;
    runs: { results: Record<string, unknown>[]; tool: { driver: { rules: { id: string }[] } } }[];
  };
};

const schema = JSON.parse(
  readFileSync(new URL('../../test/vectors/sarif/sarif-schema-2.1.0.json', import.meta.url), 'utf8'),
) as object;
const ajv = new Ajv({ strict: false, allErrors: true });
addFormats.default(ajv);
const accepts = ajv.compile(schema);
const faultsOf = (sarif: unknown) => (accepts(sarif) ? [] : accepts.errors);

describe('sarifReport', () => {
  it('gives a result with rule, level, encoded place and a fingerprint that does not depend on the line', () => {
    const { version, runs } = sarifAt(3);
    const [first, second] = runs[0].results;
    expect(version).toBe('2.1.0');
    expect(first).toMatchObject({
      ruleId: 'images.pinned',
      ruleIndex: 0,
      level: 'error',
      locations: [{ physicalLocation: { artifactLocation: { uri: 'a%20b/x.yaml' }, region: { startLine: 3 } } }],
    });
    expect(second.level).toBe('warning');
    expect(runs[0].tool.driver.rules.map(({ id }) => id)).toEqual(['images.pinned', 'other']);
    expect(sarifAt(9).runs[0].results[0].partialFingerprints).toEqual(first.partialFingerprints);
  });

  it('shows what an exception covers as suppressed, with who signed it and why', () => {
    const sarif = sarifReport(report(verdict(excepted))) as { runs?: { results: Record<string, unknown>[] }[] };
    expect(sarif.runs?.[0]?.results[0]?.['suppressions']).toEqual([
      expect.objectContaining({
        kind: 'external',
        status: 'accepted',
        justification: 'vendor image, OPS-7; signed by bo@example.org, until 2026-08-01T00:00:00.000Z',
      }),
    ]);
  });

  it('is what the schema accepts that OASIS publishes', () => {
    const [a, b] = [violation({}), violation({ kind: 'warn', rule: 'other', ...about, fix: undefined })];
    const error = new CountersignError('policy-timeout', 'a rule took too long', {
      place: { file: 'policies/a.rego' },
    });
    for (const one of [
      { violations: [a, violation(about)], warnings: [b] },
      excepted,
      { outcome: 'error', violations: [], error } as const,
    ])
      expect(faultsOf(sarifReport(report(verdict(one))))).toEqual([]);
    const found = { msg: 'x <y>', loc: { file: 'a b.yaml', line: '7' }, metadata: { query: '"data.main.deny"' } };
    const check = {
      filename: 'a b.yaml',
      namespace: 'main',
      successes: 1,
      prints: [],
      warnings: [],
      failures: [found],
    };
    const options = { color: false, suppressExceptions: false, junitHideMessage: false, githubHidePassed: false };
    for (const exceptions of [[], [{ msg: 'data.main.exception' }]]) {
      const text = CONFTEST_FORMATS['sarif']([{ ...check, exceptions }], { ...options, table: () => '' });
      expect(faultsOf(JSON.parse(text))).toEqual([]);
    }
    expect(faultsOf({ version: '2.1.0', runs: [{}] })).not.toEqual([]);
  });

  it('when nothing has a place, still names a file, as readers of SARIF require', () => {
    expect(JSON.stringify(sarifReport(report(verdict({ violations: [violation(about)] }))))).toContain(
      '"uri":"countersign.yaml"',
    );
  });
});

describe('junitReport', () => {
  it('counts a rule as a test, escapes what XML would misread, and drops what XML cannot write', () => {
    const xml = junitReport(report(verdict({ violations: [violation({ message: 'a\u0000<b> & "c"' })] })));
    expect(xml).toContain('<testsuite name="shop/prod" tests="2" failures="1" errors="0"');
    expect(xml).toContain('message="a\ufffd&lt;b&gt; &amp; &quot;c&quot;"');
    expect(xml).toContain('<testcase classname="shop/prod" name="other"/>');
    const covered = junitReport(report(verdict(excepted)));
    expect(covered).toContain('name="images.pinned"><skipped message="1 not counted, by exception"/>');
  });
});

describe('what people write', () => {
  it.each([
    '\u0000\u0008\u001b[31m',
    '\ud800 lone',
    '\ufffe\uffff',
    ']]>',
    '</testcase><x a="',
    '&#0;',
    '\u202e',
    'a\nb\tc',
  ])('%j is neither markup nor what XML cannot write, and is what it was in SARIF', (text) => {
    const hostile = verdict({ violations: [violation({ message: text, rule: text, fix: text })] });
    const xml = junitReport(report({ ...hostile, change: { ...hostile.change, environment: { ...hostile.change.environment, name: text } } })); // prettier-ignore
    expect(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(xml)).toBe(false);
    const bare = xml.replaceAll(/<\/?[a-z]+(?: [a-z]+="[^"<]*")*\/?>|<\?xml[^>]*>/g, '');
    expect(/[<>"]|&(?!amp;|lt;|gt;|quot;)/.test(bare)).toBe(false);
    const sarif = sarifReport(report(hostile));
    expect(faultsOf(JSON.parse(JSON.stringify(sarif)))).toEqual([]);
    expect(JSON.stringify(sarif)).toContain(JSON.stringify(text).slice(1, -1));
  });
});

describe('jsonReport', () => {
  it('holds everything the text says', () => {
    expect(jsonReport(report(verdict({})))).toMatchObject({
      outcome: 'deny',
      environments: [
        {
          name: 'shop/prod',
          violations: [{ rule: 'images.pinned', source: { line: 3 } }],
          notRendered: ['app'],
          otherDocuments: { 'values.yaml': 2 },
        },
      ],
      notes: ['a note'],
    });
    expect(jsonReport(report(verdict(excepted)))).toMatchObject({
      environments: [{ exceptions: [{ id: 'e1', ticket: 'OPS-7' }], excepted: [{ exception: 'e1' }] }],
    });
  });
});
