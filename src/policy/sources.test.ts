import { STARTER_PREFIX } from './bundle.js';
import { policySources } from './sources.js';

const sources = (files: Record<string, string>, ...rest: [settings?: object, root?: string]) =>
  policySources(new Map(Object.entries(files)), ...rest);

describe('collecting policy', () => {
  it('places data under the folders it lies in, below the policy folder', () => {
    const { data } = sources(
      { 'policies/data.yaml': 'a: 1', 'policies/team/shop/data.json': '{"b": [2]}' },
      {},
      'policies',
    );
    expect(data).toEqual({ a: 1, team: { shop: { b: [2] } } });
  });

  it('gives the starter rules their settings and keeps other data beside them', () => {
    const { data } = sources({ 'data.yaml': 'countersign: {mine: 1}' }, { data: { registries: ['r'] } });
    expect(data).toEqual({ countersign: { mine: 1, settings: { registries: ['r'] } } });
  });

  it.each<[string, Record<string, string>, string, number, RegExp]>([
    [
      'in two folders',
      { 'a/data.yaml': 'x: 1', 'data.yaml': 'b: 1\na: {x: 2}' },
      'data.yaml',
      2,
      /data\.a\.x is given twice, here and at a\/data\.yaml:1/,
    ],
    [
      'in two formats',
      { 'data.json': '{"b": 1,\n"a": 1}', 'data.yaml': 'a: 2' },
      'data.yaml',
      1,
      /data\.a is given twice, here and at data\.json:2/,
    ],
    ['in place of a folder', { 'a/data.yaml': 'x: 1', 'data.yaml': 'a: 7' }, 'data.yaml', 1, /data\.a is given twice/],
    ['in one file', { 'data.yaml': 'a: 1\na: 2' }, 'data.yaml', 2, /duplicated mapping key/],
    ['in one JSON file', { 'data.json': '{"a": 1,\n"a": 2}' }, 'data.json', 2, /written twice/],
    ['and is no object', { 'data.yaml': '- 1' }, 'data.yaml', 1, /data is not an object/],
    ['and is malformed', { 'data.yaml': 'a: 1\nb: [' }, 'data.yaml', 2, /malformed YAML/],
    [
      'and is more than JSON carries',
      { 'data.json': '{"a":\n12345678901234567890}' },
      'data.json',
      2,
      /cannot be carried exactly/,
    ],
  ])('refuses data that is given %s, with its place', (_what, files, file, line, says) => {
    expect(() => sources(files)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(says) as string,
        place: expect.objectContaining({ file, line }) as object,
        remedy: expect.any(String) as string,
      }) as Error,
    );
  });

  it('takes only Rego and data', () => {
    const { files } = sources({ 'x.rego': 'package x', 'README.md': '#', 'other.yaml': 'a: 1' });
    expect([...files.keys()].filter((path) => !path.startsWith(STARTER_PREFIX))).toEqual(['x.rego']);
  });

  it.each([
    ['nothing', 'package x', []],
    [
      'what is imported, and what that imports',
      'package x\nimport data.countersign.lib.workload',
      ['lib/workload.rego'],
    ],
    ['all below a path', 'package x\ny := data.countersign.lib', ['lib/image.rego', 'lib/settings.rego']],
    ['what a file adds to', 'package countersign.lib.image', ['lib/image.rego']],
    ['everything, where the name is computed', 'package x\ny := data[z]', ['access/rbac.rego', 'lib/image.rego']],
  ])('brings along of our own, when they are off, %s', (_what, text, expected) => {
    const { files } = sources({ 'x.rego': text }, { profile: 'off' });
    const ours = [...files.keys()].filter((path) => path.startsWith(STARTER_PREFIX));
    expect(ours).toEqual(expect.arrayContaining(expected.map((path) => STARTER_PREFIX + path)));
    expect(ours.length === 0).toBe(expected.length === 0);
    expect(ours.includes(`${STARTER_PREFIX}access/rbac.rego`)).toBe(text.includes('['));
  });

  it('lets no file of a repository pass for one of ours', () => {
    expect(() => sources({ [`${STARTER_PREFIX}x.rego`]: 'package x' })).toThrow('reserved');
  });
});
