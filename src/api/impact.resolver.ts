import { Inject } from '@nestjs/common';
import { Args, Context, Query, Resolver } from '@nestjs/graphql';
import { type ApiContext, requireReach } from './context.js';
import { STATE, type ServiceState } from './state.js';

@Resolver('PolicyImpact')
export class ImpactResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  /** Asking begins the analysis and shows how far it is: it changes nothing that anybody else can see. */
  @Query('policyImpact')
  async policyImpact(
    @Args('repository') repository: string,
    @Args('commit') commit: string,
    @Args('since') since: string,
    @Context() { authority }: ApiContext,
  ): Promise<object> {
    // It tells of every environment there.
    requireReach(authority, 'explain', repository);
    const { tally, byRule, ...report } = flat(await this.state.impact(repository, commit, since));
    return { ...report, ...tally, byRule };
  }
}

function flat<T extends { readonly tally: { readonly byRule: Readonly<Record<string, object>> } }>(
  report: T,
): T & { readonly byRule: readonly object[] } {
  const byRule = Object.entries(report.tally.byRule).map(([rule, counts]) => ({ rule, ...counts }));
  return { ...report, byRule };
}
