import { invalid } from '../../audit/evidence.js';
import type { LogFiles } from '../../audit/log-files.js';
import { CountersignError } from '../../errors.js';

const timeout = 30_000;

/** A log that is served over HTTP, by us or by anybody (C2SP tlog-tiles). `token` goes with each request. */
export function httpFiles(address: string, token = process.env['COUNTERSIGN_TOKEN']): LogFiles {
  const base = new URL(address.endsWith('/') ? address : `${address}/`);
  // Never in the clear over a network.
  const safe = base.protocol === 'https:' || /^(localhost|127\.[\d.]+|\[::1\])$/.test(base.hostname);
  const headers = token === undefined || !safe ? {} : { authorization: `Bearer ${token}` };
  return {
    where: base.href.replace(/\/$/, ''),
    async read(name, limit) {
      let response: Response;
      try {
        response = await fetch(new URL(name, base), { headers, signal: AbortSignal.timeout(timeout) });
      } catch (cause) {
        throw unavailable(base, ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message);
      }
      if (response.status === 404) return undefined;
      if (response.status === 401 || response.status === 403)
        throw new CountersignError(
          'unauthenticated',
          `${base.href} takes a token that may read the log there (HTTP ${response.status})`,
          {
            remedy: 'Put it into COUNTERSIGN_TOKEN',
          },
        );
      if (!response.ok || !response.body) throw unavailable(base, `HTTP ${response.status} for ${name}`);
      const chunks: Uint8Array[] = [];
      let size = 0;
      try {
        for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
          size += chunk.length;
          if (size > limit) throw invalid(`it is longer than ${limit} bytes`, name);
          chunks.push(chunk);
        }
      } catch (error) {
        throw error instanceof CountersignError ? error : unavailable(base, (error as Error).message);
      }
      return Buffer.concat(chunks, size);
    },
  };
}

function unavailable(base: URL, why: string): CountersignError {
  return new CountersignError('mirror-unavailable', `${base.href} cannot be read: ${why}`, {
    remedy: 'Check the address, and that the service answers there',
    retry: true,
  });
}
