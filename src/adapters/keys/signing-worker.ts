import { parentPort, workerData } from 'node:worker_threads';
import { ed25519SignerNow } from '../../audit/crypto.js';
import { eachMessage, signatureBytes } from './signing-message.js';

const sign = ed25519SignerNow(workerData as Uint8Array);

parentPort!.on('message', (messages: Uint8Array) => {
  const signatures: Uint8Array[] = [];
  for (const message of eachMessage(messages)) signatures.push(sign(message));
  const answer = new Uint8Array(signatures.length * signatureBytes);
  signatures.forEach((signature, i) => answer.set(signature, i * signatureBytes));
  parentPort!.postMessage(answer, [answer.buffer]);
});
