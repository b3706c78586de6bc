import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, DecoratorHandler, request, type Dispatcher } from 'undici';
import type { Json } from '../../cluster/object.js';
import { CountersignError } from '../../errors.js';
import type { Connection } from './kubeconfig.js';
import { isNotFound, refusalOf, type Subject } from './refusal.js';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly accept?: string;
  readonly body?: string;
  /** True where a path that does not exist at all is an answer, too. */
  readonly orNoPath?: boolean;
  readonly subject: Subject;
}

export interface Deadlines {
  /** Milliseconds for one request, answer included. */
  readonly request: number;
  /** Milliseconds without a byte after which a watch is given up; the server sends a bookmark about every minute. */
  readonly silence: number;
}

export const defaultDeadlines: Deadlines = { request: 15_000, silence: 150_000 };

/** How often a request that the server asks us to repeat (429, 503 with Retry-After) is repeated at once. */
const REPEATS = 3;

/** HTTP to one API server: credentials, deadlines, and its refusals as our errors. */
export class ApiTransport {
  #requests: Agent;
  /** A watch holds its connection for minutes: they have their own, or many kinds would leave none for writes. */
  #watches: Agent;

  constructor(
    private readonly name: string,
    private readonly connection: Connection,
    private readonly deadlines: Deadlines = defaultDeadlines,
    /** Sent with each request. */
    private readonly headers: Readonly<Record<string, string | string[]>> = {},
    /** Throws where nothing may be written any more. */
    private readonly beforeWrite: (() => void) | null = null,
  ) {
    const { authority, certificate, key, serverName, insecure } = connection;
    const connect = {
      ca: authority,
      cert: certificate,
      key,
      servername: serverName,
      rejectUnauthorized: !insecure,
      timeout: Math.min(5_000, deadlines.request),
      keepAlive: true,
    };
    // HTTP/1.1 only: on HTTP/2, undici may emit a session's error on a stream that it has let go of already (its issue
    // 5936), and an error event that nobody hears ends the process.
    const common = { connect, allowH2: false, headersTimeout: deadlines.request };
    this.#requests = new Agent({
      ...common,
      connections: 16,
      bodyTimeout: deadlines.request,
    });
    this.#watches = new Agent({ ...common, bodyTimeout: deadlines.silence });
  }

  /** Over the same connections, with these headers. */
  with(headers: Readonly<Record<string, string | string[]>>): ApiTransport {
    return this.#other({ ...this.headers, ...headers }, this.beforeWrite);
  }

  /** Over the same connections; `beforeWrite` throws when nothing may be written any more. */
  guarded(beforeWrite: () => void): ApiTransport {
    return this.#other(this.headers, beforeWrite);
  }

  #other(headers: Readonly<Record<string, string | string[]>>, beforeWrite: (() => void) | null): ApiTransport {
    const other = new ApiTransport(this.name, this.connection, this.deadlines, headers, beforeWrite);
    other.#requests = this.#requests;
    other.#watches = this.#watches;
    return other;
  }

  /** The answer's JSON, or null for 404 of a GET or DELETE. */
  async call(call: Call): Promise<Json> {
    let renewed = false;
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await this.#send(call, this.#requests, AbortSignal.timeout(this.deadlines.request));
        const text = await this.#reading(call, () => answer.body.text());
        if (answer.statusCode < 300) return JSON.parse(text) as Json;
        if (answer.statusCode === 404 && call.method !== 'PATCH' && (call.orNoPath || isNotFound(text))) return null;
        // Refused before it was looked at, so even a write may be sent again: once, as whoever it is by now.
        if (answer.statusCode === 401 && !renewed && this.connection.renew?.()) {
          renewed = true;
          continue;
        }
        const wait = Number(answer.headers['retry-after']);
        if (attempt < REPEATS && (answer.statusCode === 429 || answer.statusCode === 503) && wait <= 5) {
          await sleep(wait * 1000 || 200);
          continue;
        }
        throw refusalOf(this.name, call.subject, answer.statusCode, text);
      } catch (error) {
        // A question may be asked again at once; whether to repeat a write is for its sender to say.
        const again =
          call.method === 'GET' && attempt < REPEATS && error instanceof CountersignError && isHiccup(error);
        if (!again) throw error;
        await sleep(50 * 2 ** attempt);
      }
    }
  }

  /** Lines of a stream, until it ends. */
  async *lines(call: Call, signal: AbortSignal): AsyncGenerator<string> {
    const answer = await this.#send(call, this.#watches, signal);
    if (answer.statusCode >= 300) {
      // Whoever watches begins again.
      if (answer.statusCode === 401) this.connection.renew?.();
      throw refusalOf(this.name, call.subject, answer.statusCode, await this.#reading(call, () => answer.body.text()));
    }
    let rest = '';
    try {
      answer.body.setEncoding('utf8');
      for await (const chunk of answer.body as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        yield* lines;
      }
    } catch (cause) {
      if (!signal.aborted) throw this.#away(call, cause);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#requests.destroy(), this.#watches.destroy()]);
  }

  async #send(call: Call, dispatcher: Agent, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const authorization = await this.connection.authorization();
    const query = new URLSearchParams(call.query).toString();
    const { beforeWrite } = this;
    const guard = call.method === 'GET' || call.query?.['dryRun'] !== undefined ? null : beforeWrite;
    guard?.();
    const asked = guard
      ? dispatcher.compose((dispatch) => (options, handler) => dispatch(options, new LastMoment(handler, guard)))
      : dispatcher;
    return this.#reading(call, () =>
      request(`${this.connection.server}${call.path}${query ? `?${query}` : ''}`, {
        method: call.method,
        body: call.body ?? null,
        signal,
        dispatcher: asked,
        headers: {
          accept: call.accept ?? 'application/json',
          ...this.headers,
          ...(authorization === undefined ? {} : { authorization }),
          ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
        },
      }),
    );
  }

  async #reading<T>(call: Call, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (cause) {
      throw cause instanceof CountersignError ? cause : this.#away(call, cause);
    }
  }

  #away(call: Call, cause: unknown): CountersignError {
    const { name, code, message } = cause as NodeJS.ErrnoException;
    const slow = name === 'TimeoutError' || name === 'AbortError' || /TIMEOUT/.test(code ?? '');
    const why = slow
      ? `did not answer within ${this.deadlines.request / 1000} s`
      : `cannot be reached: ${message || code}`;
    return new CountersignError('cluster-unavailable', `cluster ${this.name} ${why} (${call.subject.text})`, {
      remedy: 'Nothing to do if it comes back: what is approved is applied then',
      retry: true,
      cause,
    });
  }
}

/**
 * Asks when its request is really sent, which may be long after it was made: it waits for a connection, and a process that is paused
 * meanwhile would go on with it. Nothing else is done between this and the bytes on their way.
 */
class LastMoment extends DecoratorHandler {
  constructor(
    private readonly handler: Dispatcher.DispatchHandler,
    private readonly guard: () => void,
  ) {
    super(handler);
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.guard();
    this.handler.onRequestStart?.(controller, context);
  }
}

/** Answered at once that it cannot now; a cluster that took its whole deadline is not asked again here. */
const isHiccup = ({ code, cause }: CountersignError): boolean =>
  code === 'cluster-unavailable' &&
  !['TimeoutError', 'AbortError', 'ConnectTimeoutError'].includes((cause as Error | undefined)?.name ?? '');
