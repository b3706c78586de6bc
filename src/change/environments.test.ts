import { CountersignError } from '../errors.js';
import { environmentNamed, parseSettings } from './environments.js';

const failure = (text: string): CountersignError => {
  try {
    parseSettings(text);
  } catch (error) {
    if (error instanceof CountersignError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('parseSettings', () => {
  it('reads environments by folder and by branch, with everything else by default', () => {
    const settings = parseSettings(`
apiVersion: countersign.dev/v1
environments:
  - name: shop/production
    path: ./environments/production/
    target: prod
    namespace: shop
    labels: {tier: production}
    ignore: ["**/templates/**"]
  - {name: staging, ref: refs/heads/staging}
`);
    expect(settings.environments).toEqual([
      {
        name: 'shop/production',
        path: 'environments/production',
        ref: 'refs/heads/main',
        target: 'prod',
        namespace: 'shop',
        labels: { tier: 'production' },
        ignore: ['**/templates/**'],
      },
      { name: 'staging', path: '', ref: 'refs/heads/staging', target: null, namespace: null, labels: {}, ignore: [] },
    ]);
    expect(settings.policies).toEqual({
      path: 'policies',
      strict: false,
      starter: { profile: 'baseline', off: [], data: {} },
    });
  });

  it('reads where policies are and which starter rules run, with their data', () => {
    const { policies } = parseSettings(
      'apiVersion: countersign.dev/v1\npolicies: {path: rules, strict: true, starter: {profile: strict, off: [a.b], data: {registries: [r.example.org]}}}',
    );
    expect(policies).toEqual({
      path: 'rules',
      strict: true,
      starter: { profile: 'strict', off: ['a.b'], data: { registries: ['r.example.org'] } },
    });
  });

  it('names every fault at once, each with file and line', () => {
    const error = failure(`apiVersion: countersign.dev/v1
environments:
  - name: "a b"
    path: /etc
  - name: b
    path: ../secrets
    refs: refs/heads/main
  - name: c
    ref: main
policies:
  starter: {profile: basline}
`);
    expect(error).toMatchObject({ code: 'config-invalid', place: { file: 'countersign.yaml', line: 3 } });
    expect(error.remedy).toBeTruthy();
    const { message } = error;
    for (const part of [
      /environments\[0\]\.name: it must be letters/,
      /countersign\.yaml:4 {2}environments\[0\]\.path: it must be relative/,
      /countersign\.yaml:6 {2}environments\[1\]\.path: it must not contain "\.\."/,
      /countersign\.yaml:7 .*refs: there is no such setting \(did you mean "ref"\?\)/,
      /countersign\.yaml:9 .*did you mean "refs\/heads\/main"/,
      /countersign\.yaml:11 .*did you mean "baseline"/,
    ]) {
      expect(message).toMatch(part);
    }
  });

  it.each([
    ['another apiVersion', 'apiVersion: v2', /apiVersion: it must be countersign\.dev\/v1/],
    ['no apiVersion', 'environments: []', /apiVersion/],
    [
      'a name that is used twice',
      'apiVersion: countersign.dev/v1\nenvironments: [{name: a}, {name: a, path: x}]',
      /environments\[0\] is called "a" too/,
    ],
    [
      'the name of governance',
      'apiVersion: countersign.dev/v1\nenvironments: [{name: governance}]',
      /taken by Countersign/,
    ],
    [
      'two that write the same to one target',
      'apiVersion: countersign.dev/v1\nenvironments: [{name: a, target: t}, {name: b, target: t}]',
      /"a" has the same ref, path and target/,
    ],
    ['text that is no YAML', 'apiVersion: [', /not valid YAML/],
    ['a key written twice', 'apiVersion: countersign.dev/v1\napiVersion: x', /duplicated/],
    [
      'a namespace that is none',
      'apiVersion: countersign.dev/v1\nenvironments: [{name: a, namespace: A_b}]',
      /name of a Kubernetes namespace/,
    ],
    [
      'a folder of Git itself',
      'apiVersion: countersign.dev/v1\nenvironments: [{name: a, path: a/.GIT/b}]',
      /must not contain/,
    ],
  ])('refuses %s', (_what, text, message) => {
    expect(failure(text).message).toMatch(message);
  });
});

describe('environmentNamed', () => {
  it('when there is none of that name, says which there are', () => {
    const settings = parseSettings('apiVersion: countersign.dev/v1\nenvironments: [{name: a}, {name: b}]');
    expect(() => environmentNamed(settings, 'c')).toThrow(
      expect.objectContaining({ code: 'environment-invalid', remedy: 'Choose one of a, b' }),
    );
  });
});
