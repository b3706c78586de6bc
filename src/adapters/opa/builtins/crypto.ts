import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { fail, text, type Builtin, type Builtins } from './builtin.js';

const hash =
  (algorithm: string): Builtin =>
  (_, value) =>
    createHash(algorithm).update(text(value)).digest('hex');

const hmac =
  (algorithm: string): Builtin =>
  (_, value, key) =>
    createHmac(algorithm, text(key)).update(text(value)).digest('hex');

export const cryptoBuiltins: Builtins = {
  'crypto.md5': hash('md5'),
  'crypto.sha1': hash('sha1'),
  'crypto.sha256': hash('sha256'),
  'crypto.hmac.md5': hmac('md5'),
  'crypto.hmac.sha1': hmac('sha1'),
  'crypto.hmac.sha256': hmac('sha256'),
  'crypto.hmac.sha512': hmac('sha512'),
  'crypto.hmac.equal': (_, a, b) => {
    const [left, right] = [Buffer.from(text(a)), Buffer.from(text(b))];
    return left.length === right.length && timingSafeEqual(left, right);
  },
  'hex.encode': (_, value) => Buffer.from(text(value)).toString('hex'),
  'hex.decode': (_, value) =>
    /^([0-9a-fA-F]{2})*$/.test(text(value)) ? Buffer.from(text(value), 'hex').toString() : fail('not hexadecimal'),
  'base64url.encode_no_pad': (_, value) => Buffer.from(text(value)).toString('base64url'),
};
