import { Controller, Get, Inject, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { toCountersignError } from '../errors.js';
import { reachOf } from '../review/authority.js';
import { STATE, type ServiceState } from './state.js';

/** A database that does not answer within this long, in milliseconds, counts as away. */
const PATIENCE = 3_000;

@Controller()
export class HealthController {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  /** Whether the process is alive: nothing beside it is asked. */
  @Get('healthz')
  alive(): object {
    return { status: 'ok' };
  }

  /**
   * Whether it can do its work: 503 without database or log. A repository or a cluster that is away is named among the reasons,
   * but does not take the rest of the service out of a load balancer. Reasons name both, and are for whoever may see all of it.
   */
  @Get('readyz')
  async ready(@Req() { authority }: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const [database, log, rest] = await Promise.all([
      within('database', this.state.ping()),
      within('log', this.state.ledger.size()),
      within('service', this.state.ready()),
    ]);
    const others = typeof rest === 'string' ? [rest] : rest.reasons;
    const down = [database, log].filter((answer) => typeof answer === 'string');
    const reasons = down.length > 0 ? down : others;
    void reply.code(down.length > 0 ? 503 : 200).header('cache-control', 'no-store');
    const status = down.length > 0 ? 'not ready' : reasons.length > 0 ? 'degraded' : 'ready';
    return authority && reachOf(authority, 'read')?.everywhere ? { status, reasons } : { status };
  }
}

/** The answer, or why there is none. */
async function within<T>(name: string, asked: Promise<T>): Promise<T | string> {
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(`${name}: no answer within ${PATIENCE / 1_000} s`), PATIENCE);
  const answer = asked.catch((thrown: unknown) => `${name}: ${toCountersignError(thrown).message}`);
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
