import { CountersignError } from '../../errors.js';

/** Milliseconds for one answer, and bytes of it. */
const TIMEOUT = 15_000;
const ANSWER_LIMIT = 16 * 1024 * 1024;

export interface ForgeApi {
  /** Without a slash at its end: `https://api.github.com`. */
  readonly api: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** One request to a forge's API. Throws `forge-failed`; the token is in no message. */
export async function ask(
  { api, headers }: ForgeApi,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
): Promise<unknown> {
  const { host } = new URL(api);
  const what = `${method} ${path.split('?', 1)[0]} of ${host}`;
  try {
    const response = await fetch(`${api}${path}`, {
      method,
      // A redirect would carry the token to whoever it names.
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT),
      headers: { 'user-agent': 'countersign', accept: 'application/json', ...headers, ...(body && JSON_TYPE) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await limited(response, what);
    if (response.ok) return text === '' ? null : (JSON.parse(text) as unknown);
    throw failed(`${what} answered HTTP ${response.status}`, remedyOf(response.status), response.status >= 429);
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    const { cause, message } = thrown as Error;
    throw failed(`${what} failed: ${cause instanceof Error ? cause.message : message}`, 'Check forge.api', true);
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };

async function limited(response: Response, what: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > ANSWER_LIMIT)
      throw failed(`the answer to ${what} passed ${ANSWER_LIMIT} bytes`, 'Check forge.api', false);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function remedyOf(status: number): string {
  if (status === 401 || status === 403) return 'Give it a token that may read requests and write commit statuses';
  return status === 404 ? 'Check forge.project, and that the token may see it' : 'Try again later';
}

export function failed(message: string, remedy: string, retry: boolean): CountersignError {
  return new CountersignError('forge-failed', message, { remedy, retry });
}
