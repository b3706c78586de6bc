import { symlink } from 'node:fs/promises';
import { oneWorld } from '../support/one-world.js';
import { refused } from '../support/refused.js';
import { cart, configMap, pinned, settings } from '../support/world.js';

const folder = 'environments/production';
/** Resolves to one text of three times ten to the ninth bytes. */
const aliasBomb = `apiVersion: v1
kind: ConfigMap
metadata: {name: bomb}
a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]
${['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].map((name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcdefgh'[i]}`).join(', ')}]`).join('\n')}
data: {value: *i}
`;

const cases: readonly {
  readonly name: string;
  readonly file: string;
  readonly content: string | Buffer;
  readonly code: string;
  /** Null where the whole file is what is wrong. */
  readonly line: number | null;
  readonly says: RegExp;
}[] = [
  {
    name: 'malformed YAML',
    file: 'malformed.yaml',
    content: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\ndata: {}\n',
    code: 'manifest-malformed',
    line: 4,
    says: /./,
  },
  {
    name: 'a tab where YAML wants spaces',
    file: 'tab.yaml',
    content: 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: x\n',
    code: 'manifest-malformed',
    line: 4,
    says: /./,
  },
  {
    name: 'duplicate keys',
    file: 'twice.yaml',
    content: configMap('twice', 'a').replace('kind:', 'kind: Secret\nkind:'),
    code: 'manifest-duplicate-key',
    line: 3,
    says: /kind/,
  },
  {
    name: 'a manifest of 50 MB',
    file: 'huge.yaml',
    content: Buffer.concat([Buffer.from(configMap('huge', 'a')), Buffer.alloc(50_000_000, '# nothing but words\n')]),
    code: 'manifest-too-large',
    line: null,
    says: /10/,
  },
  {
    name: 'an alias bomb',
    file: 'bomb.yaml',
    content: aliasBomb,
    code: 'manifest-aliases',
    line: null,
    says: /alias/i,
  },
  {
    name: 'a document a thousand levels deep',
    file: 'deep.yaml',
    content: `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\ndata: ${'['.repeat(1000)}${']'.repeat(1000)}\n`,
    code: 'manifest-too-deep',
    line: null,
    says: /deep|level/i,
  },
  {
    name: 'a number that JSON cannot carry',
    file: 'number.yaml',
    content: configMap('number', 'a').replace('"a"', '12345678901234567890'),
    code: 'manifest-number',
    line: 4,
    says: /12345678901234567890/,
  },
  {
    name: 'an object that another file defines',
    file: 'zz-again.yaml',
    content: cart(5),
    code: 'object-duplicate',
    line: 1,
    says: /cart\.yaml:1/,
  },
  {
    name: 'an object outside the grants of its repository',
    file: 'elsewhere.yaml',
    content: configMap('elsewhere', 'a').replace('{name: elsewhere}', '{name: elsewhere, namespace: kube-system}'),
    code: 'environment-not-granted',
    line: 1,
    says: /kube-system/,
  },
  {
    name: 'a cluster-scoped object without a grant',
    file: 'role.yaml',
    content: 'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: mine}\nrules: []\n',
    code: 'environment-not-granted',
    line: 1,
    says: /ClusterRole/,
  },
  {
    name: 'a manifest with our own metadata',
    file: 'own.yaml',
    content: configMap('own', 'a').replace('{name: own}', '{name: own, annotations: {countersign.dev/decision: "1"}}'),
    code: 'object-invalid',
    line: null,
    says: /countersign\.dev/,
  },
  {
    name: 'text that is not UTF-8',
    file: 'latin.yaml',
    content: Buffer.from(configMap('latin', '\u00fc'), 'latin1'),
    code: 'manifest-malformed',
    line: null,
    says: /UTF-8/,
  },
];

describe('a manifest that cannot be read is denied', () => {
  const here = oneWorld();
  let replicas = 1;

  it.each(cases)('when it is $name', async ({ file, content, code, line, says }) => {
    const { world } = here;
    const path = `${folder}/${file}`;
    const { violations } = await refused(world, { files: { [path]: content } });
    expect(violations).toContainEqual(
      expect.objectContaining({
        rule: `reading.${code}`,
        message: expect.stringMatching(says) as string,
        place: expect.objectContaining({ file: path, ...(line === null ? {} : { line }) }) as object,
        fix: expect.stringMatching(/\w+ \w+/) as string,
      }),
    );
    const approved = await world.pushGood(++replicas, { delete: [path], files: {} });
    await world.live(approved);
    expect(await world.replicas()).toBe(replicas);
  });

  it('when it names no namespace and its environment has none', async () => {
    const { world } = here;
    const without = settings(world.namespace).replace(`, namespace: ${world.namespace}`, '');
    const { violations } = await refused(world, { message: 'no namespace', files: { 'countersign.yaml': without } });
    expect(violations).toContainEqual(
      expect.objectContaining({
        rule: 'reading.namespace-missing',
        place: { file: `${folder}/cart.yaml`, line: 1 },
        fix: expect.stringMatching(/namespace/) as string,
      }),
    );
    await world.live(await world.pushGood(++replicas, { files: { 'countersign.yaml': settings(world.namespace) } }));
  });

  it('when it is a symbolic link, a submodule or two names that a disk would take for one', async () => {
    const { world } = here;
    const [link, two] = [`${folder}/link.yaml`, `${folder}/CART.yaml`];
    await world.repository.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},${folder}/module`);
    await symlink('/etc/passwd', `${world.repository.path}/${link}`);
    await world.repository.git('add', '--', link);
    const { violations } = await refused(world, { files: { [two]: cart(9, pinned('cart'), 'big') } });
    const places = violations
      .filter(({ rule }) => rule === 'reading.manifest-malformed')
      .map(({ place }) => place.file);
    expect(places.toSorted()).toEqual([expect.stringMatching(/cart\.yaml$/i), link, `${folder}/module`]);
    expect(JSON.stringify(violations)).not.toContain('root:');
    await world.repository.git('rm', '-q', '--cached', `${folder}/module`);
    await world.live(await world.pushGood(++replicas, { delete: [link, two] }));
  });
});
