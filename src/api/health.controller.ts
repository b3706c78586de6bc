import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { toCountersignError } from '../errors.js';
import type { Queries } from '../report/queries.js';
import { QUERIES, STATE, type ServiceState } from './state.js';

/** A database that does not answer within this long, in milliseconds, counts as away. */
const PATIENCE = 3_000;

@Controller()
export class HealthController {
  constructor(
    @Inject(STATE) private readonly state: ServiceState,
    @Inject(QUERIES) private readonly queries: Queries,
  ) {}

  /** Whether the process is alive: nothing beside it is asked. */
  @Get('healthz')
  alive(): object {
    return { status: 'ok' };
  }

  /** Whether it can do its work, and if not, why: each repository and cluster that is away, database and log. */
  @Get('readyz')
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const { ok, reasons } = this.state.ready();
    const [database, log] = await Promise.all([
      fault('database', this.queries.ping()),
      fault('log', this.state.ledger.size()),
    ]);
    const all = [...new Set([...database, ...log, ...reasons])];
    const ready = ok && database.length === 0 && log.length === 0;
    void reply.code(ready ? 200 : 503).header('cache-control', 'no-store');
    return { status: ready ? 'ready' : 'not ready', reasons: all };
  }
}

async function fault(name: string, asked: Promise<unknown>): Promise<string[]> {
  const { promise: late, resolve } = Promise.withResolvers<string[]>();
  const timer = setTimeout(() => resolve([`${name}: no answer within ${PATIENCE / 1000} s`]), PATIENCE);
  const answer = asked.then(
    () => [],
    (thrown: unknown) => [`${name}: ${toCountersignError(thrown).message}`],
  );
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
