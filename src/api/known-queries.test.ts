import { KnownQueries } from './known-queries.js';

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
