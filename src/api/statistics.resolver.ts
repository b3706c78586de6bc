import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { identityOf, type KubernetesObject, type ObjectIdentity } from '../cluster/object.js';
import type { Filters, InEnvironment, ObjectMatch, Period } from '../report/queries.js';
import type { Counts, DecisionGroup, Delivery, DriftGroup, PastState, Statistics } from '../report/statistics.js';
import type { DecisionRecord } from '../review/records.js';
import { checkPeriod, pageLength } from './connection.js';
import { type ApiContext, requireReach } from './context.js';
import { STATISTICS } from './state.js';

/** Answers that many rows make up: what auditors and teams count. */
@Resolver('PastState')
export class StatisticsResolver {
  constructor(@Inject(STATISTICS) private readonly statistics: Statistics) {}

  @Query('decisionCounts')
  async decisions(
    @Args('by') by: DecisionGroup,
    @Args('filter') filter: Filters['decision'] | null | undefined,
    @Args('first') first: number,
    @Context() { reach, names }: ApiContext,
  ): Promise<Counts> {
    checkPeriod(filter ?? {});
    const counts = await this.statistics.within(reach).decisions(by, filter ?? {}, pageLength({ first }));
    if (counts.total === 0) await names.requireSpelt(filter ?? {});
    return counts;
  }

  @Query('driftCounts')
  async drift(
    @Args('by') by: DriftGroup,
    @Args('filter') filter: Filters['drift'] | null | undefined,
    @Args('first') first: number,
    @Context() { reach, names }: ApiContext,
  ): Promise<Counts> {
    checkPeriod(filter ?? {});
    const counts = await this.statistics.within(reach).drift(by, filter ?? {}, pageLength({ first }));
    if (counts.total === 0) await names.requireSpelt(filter ?? {});
    return counts;
  }

  @Query('delivery')
  async delivery(
    @Args('filter') filter: (Period & InEnvironment) | null | undefined,
    @Context() { authority, names }: ApiContext,
  ): Promise<Delivery> {
    checkPeriod(filter ?? {});
    // Measures of a part of what was asked for would be wrong without a word.
    requireReach(authority, 'read', filter?.repository, filter?.environment);
    const delivery = await this.statistics.delivery(filter ?? {});
    if (delivery.deployments === 0) await names.requireSpelt(filter ?? {});
    return delivery;
  }

  @Query('pastState')
  async pastState(
    @Args('repository') repository: string,
    @Args('environment') environment: string,
    @Args('at') at: string,
    @Context() { authority, names }: ApiContext,
  ): Promise<PastState | null> {
    requireReach(authority, 'read', repository, environment);
    const state = await this.statistics.at(repository, environment, at);
    if (state === null) await names.requireSpelt({ repository, environment });
    return state;
  }

  @ResolveField('since')
  since(@Parent() { run }: PastState): string | null {
    return run.finishedAt;
  }

  @ResolveField('commitId')
  commitId(@Parent() { change }: PastState): string | null {
    return change?.head ?? null;
  }

  @ResolveField('decision')
  decision(@Parent() { run }: PastState, @Context() { loaders }: ApiContext): Promise<DecisionRecord | null> {
    return loaders.decision.load(run.decision);
  }

  @ResolveField('objectCount')
  objectCount(@Parent() { objects }: PastState): number {
    return objects.length;
  }

  @ResolveField('objects')
  objects(
    @Parent() { objects }: PastState,
    @Args('filter') filter: ObjectMatch | null | undefined,
    @Args('first') first: number,
  ): readonly { readonly object: ObjectIdentity; readonly manifest: KubernetesObject }[] {
    const wanted = Object.entries(filter ?? {}) as [keyof ObjectMatch, string | null][];
    return objects
      .map((manifest) => ({ object: identityOf(manifest), manifest }))
      .filter(({ object }) => wanted.every(([field, value]) => value === null || object[field] === value))
      .slice(0, pageLength({ first }));
  }
}
