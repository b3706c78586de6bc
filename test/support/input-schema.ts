import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { type Evidence, evidenceLimits } from '../../src/audit/evidence.js';
import { inputJsonSchema } from '../../src/policy/input-schema.js';

const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
addFormats.default(ajv);
const accepts = ajv.compile(inputJsonSchema());

/** What the published schema has against a policy input; empty if nothing. */
export function inputFaults(input: unknown): string[] {
  if (accepts(input)) return [];
  return (accepts.errors ?? []).map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`); // prettier-ignore
}

/** Holds every policy input that a log's contents hold against the published schema. Throws what does not fit. */
export async function checkInputs(evidence: Evidence): Promise<number> {
  let checked = 0;
  for (const name of [...evidence.names].filter((one) => one.startsWith('content/'))) {
    const text = Buffer.from(await evidence.read(name, evidenceLimits.content)).toString();
    if (!text.includes('"kind":"ProposedChange"')) continue;
    const input = parsed(text);
    if (input?.['kind'] !== 'ProposedChange') continue;
    const faults = inputFaults(input);
    if (faults.length > 0)
      throw new Error(`an input was judged that its JSON Schema does not have: ${faults.join('; ')}`);
    checked++;
  }
  return checked;
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined; // another kind of content
  }
}
