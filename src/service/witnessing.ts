import type { PostgresCosigned } from '../adapters/postgres/cosigned.js';
import type { PostgresLedger } from '../adapters/postgres/ledger.js';
import { HttpWitness } from '../adapters/witness/client.js';
import { cosigningLoop } from '../audit/cosigning-loop.js';
import { Cosigning } from '../audit/cosigning.js';
import type { KeyRing } from '../audit/keys.js';
import type { EndWork } from '../audit/lease.js';
import { parseVkey } from '../audit/note.js';
import { parseTrust } from '../audit/policy-file.js';
import type { WitnessConfig } from '../config.js';
import { CountersignError } from '../errors.js';
import { requireWitnessesNotAhead } from './log-duties.js';

/**
 * What asks witnesses for cosignatures, to be begun by one instance. Throws `config-invalid` where none has an address, `log-behind` where one
 * has seen more of this log than its database holds.
 */
export async function openWitnessing(
  config: WitnessConfig,
  keys: KeyRing,
  ledger: PostgresLedger,
  cosigned: PostgresCosigned,
  onFault: (fault: CountersignError) => void,
): Promise<() => Promise<EndWork>> {
  const trust = parseTrust(config.policy, config.file, parseVkey(keys.log.vkey));
  const witnesses = [...trust.addresses].map(([key, address]) => new HttpWitness(key, address));
  if (witnesses.length === 0) {
    throw new CountersignError('config-invalid', 'no witness has an address', {
      place: { file: config.file },
      remedy: 'Add it at the end of its line: witness NAME VKEY https://witness.example.org',
    });
  }
  const cosigning = new Cosigning(ledger, trust, witnesses, cosigned);
  await requireWitnessesNotAhead(cosigning);
  return async () => {
    const loop = cosigningLoop(cosigning, ledger, config.everyMilliseconds, onFault);
    loop.start();
    return () => loop.stop();
  };
}
