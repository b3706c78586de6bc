import { CountersignError } from '../errors.js';
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

  it('refuses data that contradicts other data', () => {
    expect(() => sources({ 'a/data.yaml': 'x: 1', 'data.yaml': 'a: {x: 2}' })).toThrow('data.a.x is given twice');
  });

  it('tells where data is malformed', () => {
    expect(() => sources({ 'data.yaml': 'a: 1\nb: [' })).toThrow(CountersignError);
    expect(() => sources({ 'data.yaml': 'a: 1\nb: [' })).toThrow(
      expect.objectContaining({ place: expect.objectContaining({ file: 'data.yaml' }) as object }) as Error,
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
