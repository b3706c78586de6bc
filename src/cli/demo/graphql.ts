import { Agent, request } from 'undici';
import { CountersignError } from '../../errors.js';

/** The service's GraphQL, as anybody may ask it. */
export class GraphqlClient {
  readonly #agent = new Agent({ headersTimeout: 20_000, bodyTimeout: 20_000 });

  constructor(
    /** `http://127.0.0.1:4100` */
    readonly address: string,
  ) {}

  /** Throws `internal` with the service's own words when it answers with errors. */
  async query<T>(query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<T> {
    const answer = await this.#ask('POST', '/graphql', JSON.stringify({ query, variables }));
    const body = JSON.parse(answer.text) as { data?: T; errors?: readonly { message: string }[] };
    if (body.errors?.length || !body.data) {
      const words = body.errors?.map((error) => error.message).join('; ') ?? `status ${answer.status}`;
      throw new CountersignError('internal', `GraphQL: ${words}`);
    }
    return body.data;
  }

  async get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    return this.#ask('GET', path);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask(method: 'GET' | 'POST', path: string, body?: string): Promise<{ status: number; text: string }> {
    try {
      const answer = await request(this.address + path, {
        method,
        headers: { 'content-type': 'application/json' },
        body: body ?? null,
        dispatcher: this.#agent,
      });
      return { status: answer.statusCode, text: await answer.body.text() };
    } catch (cause) {
      throw new CountersignError(
        'internal',
        `the service does not answer at ${this.address}: ${(cause as Error).message}`,
        {
          retry: true,
          cause,
        },
      );
    }
  }
}
