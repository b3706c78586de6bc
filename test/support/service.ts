import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '../../src/commentary.js';
import { loadConfig } from '../../src/config.js';
import { run, type RunningService } from '../../src/main.js';
import { startPostgres } from './postgres.js';

export interface TestService {
  readonly url: string;
  /** Its data folder. */
  readonly data: string;
  /** For faults that only the database can make. */
  readonly database: string;
  /** What it said on its standard output. */
  readonly said: readonly string[];
  query<T>(query: string, variables?: Record<string, unknown>): Promise<T>;
  close(): Promise<void>;
}

/** The whole service in this process, on a real PostgreSQL, with no cluster: `lines` are its configuration from `repositories:` on, `above` what goes before. */
export async function startTestService(
  lines: string,
  env: Readonly<Record<string, string>> = {},
  above = '',
): Promise<TestService> {
  const postgres = await startPostgres();
  const root = await mkdtemp(join(tmpdir(), 'countersign-service-'));
  const data = join(root, 'data');
  const said: string[] = [];
  let database: string;
  let running: RunningService | undefined;
  const close = async (): Promise<void> => {
    await running?.close();
    await postgres.stop();
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await mkdir(data);
    const file = join(root, 'service.yaml');
    database = await postgres.database();
    await writeFile(file, `listen: 127.0.0.1:0\ndatabase: ${database}\n${above}repositories:\n${lines}\n`);
    const config = await loadConfig(file, { data, env });
    running = await run(config, createLogger('info', { write: (line) => void said.push(line) }));
  } catch (error) {
    await close();
    throw error;
  }
  const { url } = running;
  return {
    url,
    data,
    database,
    said,
    close,
    async query<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      });
      const answer = (await response.json()) as { data?: T; errors?: readonly unknown[] };
      if (!answer.data || answer.errors?.length) throw new Error(`GraphQL: ${JSON.stringify(answer)}`);
      return answer.data;
    },
  };
}
