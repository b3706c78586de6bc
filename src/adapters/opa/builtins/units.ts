import { fail, text, type Builtins } from './builtin.js';
import { integer, RegoNumber, type RegoValue } from '../values.js';

/** An exact fraction. */
type Rational = readonly [numerator: bigint, denominator: bigint];

const LETTERS = ['k', 'm', 'g', 't', 'p', 'e'];
const BYTES = new Map<string, bigint>([['', 1n]]);
/** Case matters for these: m is a thousandth and M a million. */
const FACTORS = new Map<string, bigint>([['', 1n]]);
for (const [i, letter] of LETTERS.entries()) {
  const [decimal, binary] = [1000n ** BigInt(i + 1), 1024n ** BigInt(i + 1)];
  for (const unit of [letter, `${letter}b`]) BYTES.set(unit, decimal);
  for (const unit of [`${letter}i`, `${letter}ib`]) BYTES.set(unit, binary);
  if (letter !== 'm') FACTORS.set(letter, decimal);
  FACTORS.set(letter.toUpperCase(), decimal);
  for (const unit of [`${letter}i`, `${letter.toUpperCase()}i`]) FACTORS.set(unit, binary);
}
/** Enough for what OPA allows, and no more zeros than memory has room for. */
const MAX_EXPONENT = 5000;

function split(value: string): readonly [amount: string, unit: string] {
  if (value.includes(' ')) return fail('spaces not allowed in resource strings');
  const amount = /^(?:[0-9.+-]|[eE](?=[0-9+-])[+-]?)*/.exec(value)![0];
  return amount === '' ? fail('no amount provided') : [amount, value.slice(amount.length)];
}

function rational(amount: string): Rational {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(amount);
  const fraction = match?.[3] ?? '';
  if (!match || (match[2] === '' && fraction === '')) return fail('could not parse amount to a number');
  const exponent = Number(match[4] ?? 0);
  if (Math.abs(exponent) > MAX_EXPONENT) return fail('exponent too large');
  let numerator = BigInt(`${match[2] || '0'}${fraction}`);
  let denominator = 10n ** BigInt(fraction.length);
  if (exponent > 0) numerator *= 10n ** BigInt(exponent);
  else denominator *= 10n ** BigInt(-exponent);
  return [match[1] === '-' ? -numerator : numerator, denominator];
}

/** Ten decimals, as OPA gives what is no integer. */
function decimal([numerator, denominator]: Rational): RegoValue {
  if (numerator % denominator === 0n) return integer(numerator / denominator);
  const size = numerator < 0n ? -numerator : numerator;
  const scaled = (size * 10n ** 10n * 2n + denominator) / (2n * denominator);
  const digits = scaled.toString().padStart(11, '0');
  return new RegoNumber(`${numerator < 0n ? '-' : ''}${digits.slice(0, -10)}.${digits.slice(-10)}`);
}

export const unitBuiltins: Builtins = {
  'units.parse_bytes': (_, v) => {
    const [amount, unit] = split(text(v).toLowerCase().replaceAll('"', ''));
    const factor = BYTES.get(unit) ?? fail(`byte unit ${unit} not recognized`);
    const [numerator, denominator] = rational(amount);
    return integer((numerator * factor) / denominator);
  },
  'units.parse': (_, v) => {
    const [amount, given] = split(text(v).replaceAll('"', ''));
    const unit = given.length > 1 ? given[0] + given.slice(1).toLowerCase() : given;
    const [numerator, denominator] = rational(amount);
    if (unit === 'm') return decimal([numerator, denominator * 1000n]);
    return decimal([numerator * (FACTORS.get(unit) ?? fail(`unit ${given} not recognized`)), denominator]);
  },
};
