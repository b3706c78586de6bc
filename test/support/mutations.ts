/** Numbers below a bound, always the same ones for one seed. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What is worth writing into any input: ends of things, other encodings, other platforms' breaks, names that mean something. */
const PIECES = [
  '', '\n', '\r\n', '\r', '\0', ' ', '\t', '"', "'", '\\', ':', ': ', '#', '-', '- ', '---\n', '{', '}', '[', ']', ',', '*', '!', '@', '%', '&a', '*a', '<<: ',
  '../', '/', '.git', '\u202e', '\ufeff', '\u00e9', 'e\u0301', '\ud83d\ude00', '0', '-1', '1e999', '99999999999999999999', '~', 'null', 'true', 'y',
  '__proto__', 'constructor', 'tree ', 'parent ', 'gpgsig ', 'gpgsig-sha256 ', 'mergetag ', 'encoding UTF-7\n', '-----BEGIN SSH SIGNATURE-----\n',
  '-----BEGIN PGP SIGNATURE-----\n', '100644 a\0', '40000 .git\0', '(((((((((((', 'a'.repeat(2000),
].map((piece) => Buffer.from(piece)); // prettier-ignore

/** A sample with one to four things wrong with it. */
export function mutated(samples: readonly Buffer[], next: (below: number) => number): Buffer {
  let bytes = samples[next(samples.length)];
  for (let n = 1 + next(4); n > 0; n--) {
    const at = next(bytes.length + 1);
    const rest = bytes.subarray(Math.min(bytes.length, at + next(20)));
    const put = [
      () => [bytes.subarray(0, at), PIECES[next(PIECES.length)], bytes.subarray(at)],
      () => [bytes.subarray(0, at), PIECES[next(PIECES.length)], rest],
      () => [bytes.subarray(0, at), Buffer.from([next(256)]), bytes.subarray(at + 1)],
      () => [bytes.subarray(0, at), rest],
      () => [bytes.subarray(0, at)],
      () => [bytes.subarray(0, at), bytes.subarray(next(at + 1), at), bytes.subarray(at)],
      () => [bytes.subarray(0, at), samples[next(samples.length)].subarray(at)],
    ];
    bytes = Buffer.concat(put[next(put.length)]());
  }
  return bytes;
}

const JUNK: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e15,
  '',
  'x',
  '__proto__',
  'é\0',
  'a'.repeat(64),
  [],
  [null],
  [[]],
  [{}],
  {},
  { a: null },
];

/** JSON with one value of it gone or another one. */
export function mutatedJson(value: unknown, next: (below: number) => number): unknown {
  const copy = structuredClone(value);
  const places: [Record<string, unknown>, string][] = [];
  const walk = (at: unknown): void => {
    if (typeof at !== 'object' || at === null) return;
    const members = at as Record<string, unknown>;
    for (const key of Object.keys(members)) {
      places.push([members, key]);
      walk(members[key]);
    }
  };
  walk(copy);
  const junk = structuredClone(JUNK[next(JUNK.length)]);
  if (places.length === 0) return junk;
  const [at, key] = places[next(places.length)];
  if (next(4) === 0 && !Array.isArray(at)) delete at[key];
  else at[key] = junk;
  return copy;
}
