import { readManifest } from './manifest.js';
import { renderedDigest } from './rendered.js';
import { Redactor } from './secret.js';

const redactor = new Redactor(Buffer.alloc(32, 1), 'k1');
const read = (path: string, text: string) => readManifest(path, Buffer.from(text)).objects;
const a = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n';
const b = 'apiVersion: v1\nkind: Secret\nmetadata: {name: b}\nstringData: {x: "1"}\n';

describe('renderedDigest', () => {
  it('does not depend on files, their layout, or order', () => {
    const one = renderedDigest(read('x.yaml', `${a}---\n${b}`), redactor);
    const two = renderedDigest([...read('b/b.yaml', `# moved\n${b}`), ...read('a.yaml', a)], redactor);
    expect(two).toBe(one);
  });

  it("changes with any value, a Secret's included", () => {
    const digests = [b, b.replace('"1"', '"2"'), b.replace('name: b', 'name: c')].map((text) =>
      renderedDigest(read('x', text), redactor),
    );
    expect(new Set(digests).size).toBe(3);
  });
});
