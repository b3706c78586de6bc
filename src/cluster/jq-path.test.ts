import { parseJqPath } from './jq-path.js';
import type { Json } from './object.js';

const object: Json = {
  a: {
    b: [
      { name: 'x', v: 1 },
      { name: 'y', v: 2, on: false },
    ],
    'c-d': null,
  },
  list: ['one', 'two'],
};

describe('paths of jq', () => {
  it.each([
    ['.', ['']],
    ['.a.b', ['a/b']],
    ['.a["c-d"]', ['a/c-d']],
    ['.a."c-d"', ['a/c-d']],
    ['.list[]', ['list/0', 'list/1']],
    ['.list[-1]', ['list/1']],
    ['.a.b[].v', ['a/b/0/v', 'a/b/1/v']],
    ['.a | .b[0]', ['a/b/0']],
    ['.a.b[] | select(.name == "y") | .v', ['a/b/1/v']],
    ['.a.b[] | select(.name != "y")', ['a/b/0']],
    ['.a.b[] | select(.v == 1 or .name == "y")', ['a/b/0', 'a/b/1']],
    ['.a.b[] | select(.v == 1 and .name == "x") | .name', ['a/b/0/name']],
    ['.a.b[] | select(.name | startswith("x"))', ['a/b/0']],
    ['.a.b[]? | select(.on | not)', ['a/b/0', 'a/b/1']],
    ['.missing[]?.deeper', []],
    ['..|.name?', ['a/b/0/name', 'a/b/1/name']],
  ])('%s', (expression, places) => {
    expect(parseJqPath(expression)(object).map((place) => place.join('/'))).toEqual(places);
  });

  it.each([
    '',
    'a',
    '.a |',
    '.a[',
    'del(.a)',
    '.a = 1',
    'def f: f; f',
    'select(.a ==)',
    '.a,.b',
    '.[1.5]',
    'select(.a).b',
  ])('refuses %j', (expression) => {
    expect(() => parseJqPath(expression)).toThrow(expect.objectContaining({ code: 'config-invalid' }) as Error);
  });
});
