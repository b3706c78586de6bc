import { ed25519Signer, ed25519Verifier, utf8 } from '../../audit/crypto.js';
import { eachMessage, joinMessages } from './signing-message.js';
import { threadedSigner } from './signing-threads.js';

const seed = new Uint8Array(32).fill(9);
const messages = Array.from({ length: 200 }, (_, n) => utf8('x'.repeat(n * 7) + String(n)));

it('signs many at once as one by one, each its own, before its threads are there and after', async () => {
  const [alone, signer] = [ed25519Signer(seed), threadedSigner(seed)];
  const expected = await Promise.all(messages.map((message) => alone.sign(message)));
  expect(signer.publicKey).toEqual(alone.publicKey);
  const verify = ed25519Verifier(signer.publicKey);
  for (const until = Date.now() + 500; Date.now() < until;) {
    for (const few of [1, 3, 5, 200]) {
      const signed = await Promise.all(messages.slice(0, few).map((message) => signer.sign(message)));
      expect(signed.every((signature, i) => Buffer.compare(signature, expected[i]) === 0)).toBe(true);
      expect(verify(messages[few - 1], signed[few - 1])).toBe(true);
    }
  }
});

it('takes messages across as they are, empty ones and none', () => {
  for (const some of [[], [utf8('')], messages])
    expect([...eachMessage(joinMessages(some))].map((one) => Buffer.from(one))).toEqual(some.map((one) => Buffer.from(one))); // prettier-ignore
});
