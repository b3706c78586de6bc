import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Holding, PromotionQuestion } from '../review/promotions.js';
import type { CommitRecord } from '../review/records.js';
import { type ApiContext, requireReach } from './context.js';
import { STATE, type ServiceState } from './state.js';

/** A holding as the SDL has it: its fields are the environment's, and the commit beside them. */
interface Held {
  readonly repository: string;
  readonly environment: string;
  readonly path: string;
  readonly ref: string;
  readonly target: string | null;
  readonly pinned: boolean;
  readonly commitId: string | null;
}

@Resolver('Holding')
export class PromotionResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('holdings')
  holdings(@Args('repository') repository: string, @Context() { reach }: ApiContext): readonly Held[] {
    const all = this.state.holdings(repository) ?? [];
    return all
      .filter(({ environment }) => reach.covers(repository, environment.name))
      .map((one) => held(repository, one));
  }

  /** Asking records nothing: it is judged as a check on the command line is. */
  @Query('promotion')
  async promotion(
    @Args() { repository, from, to }: PromotionQuestion,
    @Context() { authority }: ApiContext,
  ): Promise<object> {
    // It tells of the objects of both.
    for (const environment of [from, to]) requireReach(authority, 'explain', repository, environment);
    const { decision, ...answer } = await this.state.promotion({ repository, from, to });
    const { outcome, violations, warnings, required, error = null } = decision;
    const [source, target] = [held(repository, answer.from), held(repository, answer.to)];
    return { ...answer, from: source, to: target, outcome, violations, warnings, required, error };
  }

  @ResolveField('commit')
  commit(
    @Parent() { repository, commitId }: Held,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> | null {
    return commitId === null ? null : loaders.commit.load({ repository, id: commitId });
  }
}

function held(repository: string, { environment, commit }: Holding): Held {
  const { name, path, ref, target, pin } = environment;
  return { repository, environment: name, path, ref, target, pinned: pin !== undefined, commitId: commit };
}
