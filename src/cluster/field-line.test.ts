import { fieldLine } from './field-line.js';

const manifest = `# why
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  template:
    spec:
      containers:
        - name: a
          image: one
        - "name": b
          image: two
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    data:
      x: &x 1
      y: *x
`;

describe('fieldLine', () => {
  it.each<[string, number, (string | number)[], number]>([
    ['a member', 2, ['spec'], 5],
    ['a member of an item of a list', 2, ['spec', 'template', 'spec', 'containers', 1, 'image'], 12],
    ['a member whose key is quoted', 2, ['spec', 'template', 'spec', 'containers', 1, 'name'], 11],
    ['what is written in one line', 2, ['metadata', 'name'], 4],
    [
      'the nearest around what is not there',
      2,
      ['spec', 'template', 'spec', 'containers', 0, 'resources', 'limits'],
      9,
    ],
    ['a field of an item of a List', 17, ['data', 'y'], 21],
    ['nothing of an object that is not there', 7, ['x'], 7],
  ])('finds %s', (_what, object, path, line) => {
    expect(fieldLine(manifest, object, path)).toBe(line);
  });

  it('reads JSON, and leaves alone what it cannot read', () => {
    expect(fieldLine('{\n  "kind": "A",\n  "spec": {\n    "x": [1,\n 2]\n  }\n}', 1, ['spec', 'x', 1])).toBe(5);
    expect(fieldLine('a: [', 1, ['a'])).toBe(1);
  });
});
