import { Args, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { Inject } from '@nestjs/common';
import { parseCheckpoint } from '../audit/checkpoint.js';
import { toHex } from '../audit/crypto.js';
import { CountersignError } from '../errors.js';
import type { InstanceState } from '../report/instances.js';
import type { Orphan } from '../reconcile/orphans.js';
import { describeTrouble } from '../review/trouble.js';
import { STATE, type ServiceState } from './state.js';

/** Of one target in one answer. */
const MOST_ORPHANS = 1_000;

@Resolver('Service')
export class ServiceResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('service')
  async service(): Promise<object> {
    const { ok, reasons } = await this.state.ready();
    return { version: this.state.version, startedAt: this.state.startedAt, ready: ok, reasons };
  }
}

@Resolver('Instance')
export class InstanceResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('instances')
  instances(): Promise<readonly InstanceState[]> {
    return this.state.instances();
  }
}

@Resolver('Target')
export class TargetResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('targets')
  targets(): readonly object[] {
    return this.state.targets().map(({ name, reports, audit }) => {
      const { api, reports: count, lookedAt, trouble } = reports;
      return { name, audit, reports: { api, count, lookedAt, trouble: trouble && describeTrouble(trouble) } };
    });
  }
}

@Resolver('Orphan')
export class OrphanResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('orphans')
  async orphans(
    @Args('target') target: string | null | undefined,
    @Args('namespace') namespace: string | null | undefined,
  ): Promise<readonly object[]> {
    const found = await this.state.orphans({ target: target ?? undefined, namespace: namespace ?? undefined });
    return found.map(({ orphans, ...rest }) => ({ ...rest, orphans: orphans.slice(0, MOST_ORPHANS), count: orphans.length })); // prettier-ignore
  }

  @ResolveField('object')
  object(@Parent() { identity }: Orphan): object {
    return identity;
  }
}

@Resolver('Log')
export class LogResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('log')
  async log(): Promise<object> {
    const { vkey, ledger } = this.state;
    const checkpoint = await ledger.checkpoint();
    // The note is our own, signed: what it says of size and root is one moment's truth, unlike two calls.
    const { origin, size, root } = parseCheckpoint(checkpoint.slice(0, checkpoint.indexOf('\n\n') + 1));
    return { origin, vkey, size, rootHash: toHex(root), checkpoint };
  }

  @ResolveField('consistency')
  async consistency(@Args('from') from: number, @Args('to') to: number): Promise<readonly string[]> {
    const size = await this.state.ledger.size();
    if (from <= to && to <= size) return await this.state.ledger.consistency(from, to);
    throw new CountersignError(
      'query-invalid',
      `there is no proof from size ${from} to ${to}: the log has ${size} entries`,
      {
        remedy: 'Give two sizes, the smaller first, neither beyond the log',
      },
    );
  }
}
