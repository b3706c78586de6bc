import { buildSchema, isEnumType, isInputObjectType, isObjectType, isScalarType, parse, validate } from 'graphql';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { z } from 'zod';
import { schemaText } from '../../src/app.module.js';
import { settingsSchema } from '../../src/change/environments.js';
import { fileSchema } from '../../src/config/file.js';
import { entriesPage } from '../../src/report/entries-page.js';
import { graphqlPage } from '../../src/api/reference-page.js';
import { parseCommandLine } from '../support/command-lines.js';

const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const texts = new Map(pages.map((page) => [page, readFileSync(page, 'utf8')]));
const schema = buildSchema(schemaText());

/** As forges make them of headings. */
const anchor = (heading: string): string =>
  heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '')
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
const withoutCode = (text: string): string => text.replaceAll(/^```.*?^```/gms, '');
const headings = (text: string): readonly string[] =>
  [...withoutCode(text).matchAll(/^#+ +(.+)$/gm)].map(([, heading]) => anchor(heading));

describe('the pages of docs/', () => {
  it('link to files and headings that are there', () => {
    const broken = [...texts].flatMap(([page, text]) =>
      [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, to]) => to)
        .filter((to) => !/^[a-z]+:/.test(to))
        .filter((to) => {
          const [path, heading] = to.split('#', 2);
          const file = path === '' ? page : normalize(join(dirname(page), path));
          if (!existsSync(file)) return true;
          if (heading === undefined) return false;
          return statSync(file).isDirectory() || !headings(readFileSync(file, 'utf8')).includes(heading);
        })
        .map((to) => `${page}: ${to}`),
    );
    expect(broken).toEqual([]);
  });

  it('are all in the index', () => {
    const index = texts.get('docs/README.md')!;
    const missing = pages
      .filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !page.startsWith('docs/decisions/'))
      .filter((page) => !index.includes(`(${page.slice('docs/'.length)})`));
    expect(missing).toEqual([]);
  });

  it('show command lines that the command line takes', async () => {
    // Of the commands' own page only the examples are command lines, which command-tree.test.ts reads; Conftest's options are another command's.
    const lines = [...texts]
      .filter(([page]) => page !== 'docs/cli.md')
      .flatMap(([page, text]) =>
        [...text.matchAll(/^```(\w*)\n(.*?)^```/gms)].flatMap(([, , block]) =>
          [...block.matchAll(/^(?:\$ )?((?:bin\/)?countersign (?!is |refuses)(?:.*\\\n)*.*)$/gm)].map(([, line]) => ({
            page,
            line: line
              .replaceAll(/\\\n\s*/g, ' ')
              .replace('bin/countersign', 'countersign')
              .split(/ {3,}/)[0],
          })),
        ),
      );
    expect(lines.length).toBeGreaterThan(60);
    const refused = [];
    for (const { page, line } of lines.filter((one) => !one.line.includes('--conftest'))) {
      const { fault } = await parseCommandLine(line.replaceAll(/\[[^\]]*\]/g, ''));
      if (fault !== null && !fault.includes('outputHelp')) refused.push(`${page}: ${line}\n${fault}`);
    }
    expect(refused).toEqual([]);
  });

  it('show GraphQL that the schema answers', () => {
    const asked = [...texts].flatMap(([page, text]) => [
      ...[...text.matchAll(/^```graphql\n(.*?)^```/gms)].map(([, query]) => ({ page, query })),
      ...[...withoutCode(text).matchAll(/`((?:query[^`{]*|mutation[^`{]*)?\{ \w+(?:\([^`]*\))? \{[^`]* \})`/g)].map(([, query]) => ({ page, query })), // prettier-ignore
    ]);
    expect(asked.length).toBeGreaterThan(15);
    const wrong = asked
      // What is left out stays left out.
      .filter(({ query }) => !/\{ …|… \}/.test(query))
      .flatMap(({ page, query }) => {
        try {
          return validate(schema, parse(query)).map(({ message }) => `${page}: ${query}: ${message}`);
        } catch (error) {
          return [`${page}: ${query}: ${(error as Error).message}`];
        }
      });
    expect(wrong).toEqual([]);
  });

  it.each([
    ['docs/entries.md', () => entriesPage()],
    ['docs/graphql.md', () => graphqlPage(schemaText())],
  ])('%s is as the code has it (make docs)', (page, made) => expect(texts.get(page)).toBe(made()));
});

/** Every setting of a schema, by path. */
function settingsOf(type: z.ZodType, path: readonly string[] = []): readonly (readonly string[])[] {
  const inner = (type as unknown as { def: Record<string, unknown> }).def;
  const shape = (type as unknown as { shape?: Record<string, z.ZodType> }).shape;
  if (shape)
    return Object.entries(shape).flatMap(([name, one]) => [[...path, name], ...settingsOf(one, [...path, name])]);
  const below = ['innerType', 'element', 'valueType', 'in', 'out'].flatMap((name) =>
    inner[name] ? [inner[name]] : [],
  );
  const options = (inner['options'] as z.ZodType[] | undefined) ?? [];
  return [...below, ...options].flatMap((one) => settingsOf(one as z.ZodType, path));
}

describe('the reference of the configuration', () => {
  it.each([
    ['service.yaml', fileSchema, 'docs/service-yaml.md'],
    ['countersign.yaml', settingsSchema, 'docs/countersign-yaml.md'],
  ])('tells of every setting of %s, there or where it links to', (_, type, page) => {
    const text = texts.get(page)!;
    const linked = [...text.matchAll(/(?:\]\(|docs\/)([\w-]+\.md)/g)].map(
      ([, name]) => texts.get(join('docs', name)) ?? '',
    );
    const all = [text, ...linked].join('\n');
    const settings = settingsOf(type as z.ZodType);
    expect(settings.length).toBeGreaterThan(20);
    const untold = settings.filter(
      (path) => !new RegExp(`(^|[\\s\`{.,(])${path.at(-1)}(:|\`|\\.|,|\\})`, 'm').test(all),
    );
    expect(untold.map((path) => path.join('.'))).toEqual([]);
  });
});

describe('the schema of GraphQL', () => {
  it('says of every type what it is, with an example', () => {
    const types = Object.values(schema.getTypeMap()).filter(({ name }) => !/^__|^(String|Int|Float|Boolean|ID|Query|Mutation|Subscription)$/.test(name)); // prettier-ignore
    const without = types.filter((type) => {
      const fields = isObjectType(type) || isInputObjectType(type) ? Object.values(type.getFields()) : [];
      const values = isEnumType(type) ? type.getValues() : [];
      expect(isObjectType(type) || isInputObjectType(type) || isEnumType(type) || isScalarType(type)).toBe(true);
      const said = [type, ...fields, ...values].map(({ description }) => description ?? '').join('\n');
      return !/`[^`]+`/.test(said) && values.length === 0;
    });
    expect(without.map(({ name }) => name)).toEqual([]);
  });
});
