import { dependencyFaults, inDependencyOrder } from './dependencies.js';
import { parseSettings } from './environments.js';

const of = (text: Record<string, string[]>) => Object.entries(text).map(([name, dependsOn]) => ({ name, dependsOn }));
const faults = (text: Record<string, string[]>): string[] =>
  dependencyFaults(of(text)).map(({ environment, position, message }) => `${environment}.${position} ${message}`);

describe('what environments wait for', () => {
  it.each([
    [{ a: [], b: ['a'], c: ['a', 'b'] }, []],
    [{ a: ['a'] }, ['0.0 it cannot wait for itself']],
    [{ a: ['b'], b: ['a'] }, ['0.0 it waits for itself, by way of b']],
    [{ x: ['a'], a: ['b'], b: ['c'], c: ['a'] }, ['1.0 it waits for itself, by way of b, c']],
    [{ a: ['c'] }, ['0.0 there is no environment "c"']],
    [{ a: ['governance'] }, ['0.0 everything waits for governance anyhow']],
  ])('%j', (text, expected) => {
    expect(faults(text as Record<string, string[]>)).toEqual(expected);
  });

  it('is decided first', () => {
    expect(inDependencyOrder(of({ web: ['api'], api: ['db', 'queue'], other: [], queue: [], db: [] })).map(({ name }) => name)).toEqual(['db', 'queue', 'api', 'web', 'other']); // prettier-ignore
  });

  it('is refused with its line where it cannot be', () => {
    const text = `apiVersion: countersign.dev/v1
environments:
  - {name: web, path: web}
  - name: api
    path: api
    dependsOn:
      - db
  - name: db
    path: db
    dependsOn: [api]
`;
    expect(() => parseSettings(text)).toThrow(
      expect.objectContaining({
        code: 'config-invalid',
        place: { file: 'countersign.yaml', line: 7 },
        message: expect.stringContaining('it waits for itself, by way of db') as string,
      }) as Error,
    );
    expect(parseSettings(text.replace('      - db', '      - web')).environments.map(({ name }) => name)).toEqual(['web', 'api', 'db']); // prettier-ignore
  });
});
