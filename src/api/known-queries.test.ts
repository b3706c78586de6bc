import { createHash } from 'node:crypto';
import fastify from 'fastify';
import { GraphQLError } from 'graphql';
import { mercurius } from 'mercurius';
import { KnownQueries, queriesByHash } from './known-queries.js';

const sha256 = (what: string) => createHash('sha256').update(what).digest('hex');

describe('known queries', () => {
  const known = new KnownQueries(['query Waiting {\n  environments { nodes { name } }\n}\n']);

  it('are answered, whatever their line ends', () => {
    expect(() => known.require('query Waiting {\r\n  environments { nodes { name } }\r\n}')).not.toThrow();
  });

  it.each(['{ environments { nodes { name } } }', '', 'query Waiting {\n  environments { nodes { name head } }\n}'])(
    'are the only ones: %j is none',
    (source) => expect(() => known.require(source)).toThrow(expect.objectContaining({ code: 'forbidden' })),
  );
});

describe('a query by its hash alone', () => {
  const text = 'query Name {\r\n  name\r\n}\r\n';
  const known = new KnownQueries([text]);
  const server = fastify();

  beforeAll(async () => {
    await server.register(mercurius, {
      schema: 'type Query { name: String secret: String }',
      resolvers: { Query: { name: () => 'shop', secret: () => 'never' } },
      persistedQueryProvider: queriesByHash(known) as never,
      errorHandler: (error, _request, reply) => void reply.code(400).send({ errors: [{ message: error.message }] }),
      errorFormatter: ({ errors }) => ({ statusCode: 400, response: { data: null, errors: errors.map(({ message }) => new GraphQLError(message)) } }), // prettier-ignore
    });
    server.graphql.addHook('preParsing', async (_schema, source) => known.require(source));
    await server.ready();
  });
  afterAll(() => server.close());

  const ask = async (payload: object): Promise<string> => {
    const { body } = await server.inject({ method: 'POST', path: '/graphql', payload });
    const { data, errors } = JSON.parse(body) as { data?: { name: string }; errors?: { message: string }[] };
    return data?.name ?? errors![0].message;
  };
  const byHash = (sha256Hash: unknown, more: object = {}) =>
    ask({ extensions: { persistedQuery: { version: 1, sha256Hash, ...more } } });

  it('is answered if it is known, as it stands in its file or as it is compared', async () => {
    expect(await byHash(sha256(text))).toBe('shop');
    expect(await byHash(sha256('query Name {\n  name\n}'))).toBe('shop');
    const get = `/graphql?extensions=${JSON.stringify({ persistedQuery: { version: 1, sha256Hash: sha256(text) } })}`;
    expect((await server.inject({ path: get })).json()).toEqual({ data: { name: 'shop' } });
  });

  it('is refused if not, and nobody makes it known by sending its text', async () => {
    const secret = '{ secret }';
    const extensions = { persistedQuery: { version: 1, sha256Hash: sha256(secret) } };
    expect(await byHash(sha256(secret))).toBe(`no query with the hash ${sha256(secret)} is known here`);
    expect(await ask({ query: secret, extensions })).toContain('answers known queries only');
    expect(await byHash(sha256(secret))).toContain('no query with the hash');
  });

  it('is refused with the text of another, and where it is no hash', async () => {
    const extensions = { persistedQuery: { version: 1, sha256Hash: sha256('{ secret }') } };
    expect(await ask({ query: text, extensions })).toContain('the hash is not that of the query beside it');
    for (const hash of ['short', 7, null, 'A'.repeat(64), '__proto__'])
      expect(await byHash(hash)).toContain('64 hex digits');
    expect(await byHash(sha256(text), { version: 2 })).toContain('version 1');
  });
});
