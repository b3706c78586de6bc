import { Inject } from '@nestjs/common';
import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { LoggedEntry } from '../audit/entry.js';
import type { Filters } from '../report/queries.js';
import type {
  ApprovalRecord,
  ChangeRecord,
  DecisionRecord,
  ExceptionRecord,
  ReviewDutyRecord,
} from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import { type ApiContext, requireReach } from './context.js';
import { STATE, type ServiceState } from './state.js';

@Resolver('Decision')
export class DecisionResolver {
  constructor(@Inject(STATE) private readonly state: ServiceState) {}

  @Query('decisions')
  decisions(
    @Args() args: PageArguments & { filter?: Filters['decision'] },
    @Context() context: ApiContext,
  ): Promise<Connection<DecisionRecord>> {
    return connect(context, 'decision', args);
  }

  @Query('decision')
  decision(@Args('id') id: string, @Context() { loaders }: ApiContext): Promise<DecisionRecord | null> {
    return loaders.decision.load(id);
  }

  @ResolveField('change')
  change(@Parent() decision: DecisionRecord, @Context() { loaders }: ApiContext): Promise<ChangeRecord | null> {
    return loaders.change.load(decision.change);
  }

  @ResolveField('approvals')
  async approvals(
    @Parent() { approvals }: DecisionRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly ApprovalRecord[]> {
    const rows = await Promise.all(approvals.map((id) => loaders.approval.load(id)));
    return rows.filter((row) => row !== null);
  }

  @ResolveField('uncountedApprovals')
  async uncounted(
    @Parent() { uncounted }: DecisionRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly { readonly approval: ApprovalRecord | null; readonly reason: string }[]> {
    return Promise.all(
      uncounted.map(async ({ approval, reason }) => ({ approval: await loaders.approval.load(approval), reason })),
    );
  }

  @ResolveField('exceptions')
  async exceptions(
    @Parent() { exceptions }: DecisionRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<readonly ExceptionRecord[]> {
    const rows = await Promise.all(exceptions.map((id) => loaders.exception.load(id)));
    return rows.filter((row) => row !== null);
  }

  @ResolveField('explanations')
  async explanations(
    @Parent() decision: DecisionRecord,
    @Args('trace') trace: boolean,
    @Context() { authority }: ApiContext,
  ): Promise<readonly object[]> {
    requireReach(authority, 'explain', decision.repository, decision.environment);
    const found = await this.state.explain(decision, trace);
    return found.map(({ rule, ...rest }) => ({ ...rest, title: rule?.title, description: rule?.description }));
  }

  @ResolveField('reviewDuty')
  reviewDuty(@Parent() { id }: DecisionRecord, @Context() { loaders }: ApiContext): Promise<ReviewDutyRecord | null> {
    return loaders.reviewDuty.load(id);
  }

  @ResolveField('entry')
  entry(@Parent() { index }: DecisionRecord, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> | null {
    return index === null ? null : loaders.entry.load(index);
  }
}
