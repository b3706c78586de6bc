import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { LoggedEntry } from '../audit/entry.js';
import type { Filters } from '../report/queries.js';
import { accountName, strengthOf } from '../review/approval.js';
import type {
  AdviceRecord,
  ApprovalRecord,
  ChangeRecord,
  DecisionRecord,
  ReviewDutyRecord,
} from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';

@Resolver('Approval')
export class ApprovalResolver {
  @Query('approvals')
  approvals(
    @Args() args: PageArguments & { filter?: Filters['approval'] },
    @Context() context: ApiContext,
  ): Promise<Connection<ApprovalRecord>> {
    return connect(context, 'approval', args);
  }

  @ResolveField('change')
  change(
    @Parent() { change }: ApprovalRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<ChangeRecord | null> | null {
    return change === null ? null : loaders.change.load(change);
  }

  @ResolveField('advice')
  advice(
    @Parent() { advice }: ApprovalRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<AdviceRecord | null> | null {
    return advice === null ? null : loaders.advice.load(advice);
  }

  @ResolveField('strength')
  strength(@Parent() { via }: ApprovalRecord): string {
    return strengthOf(via);
  }

  @ResolveField('account')
  account(@Parent() { account }: ApprovalRecord): string | null {
    return account && accountName(account);
  }

  @ResolveField('entry')
  entry(@Parent() { index }: ApprovalRecord, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> | null {
    return index === null ? null : loaders.entry.load(index);
  }
}

@Resolver('ReviewDuty')
export class ReviewDutyResolver {
  @Query('reviewDuties')
  reviewDuties(
    @Args() args: PageArguments & { filter?: Filters['reviewDuty'] },
    @Context() context: ApiContext,
  ): Promise<Connection<ReviewDutyRecord>> {
    return connect(context, 'reviewDuty', args);
  }

  @ResolveField('decision')
  decision(@Parent() { id }: ReviewDutyRecord, @Context() { loaders }: ApiContext): Promise<DecisionRecord | null> {
    return loaders.decision.load(id);
  }

  @ResolveField('approval')
  approval(
    @Parent() { approval }: ReviewDutyRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<ApprovalRecord | null> | null {
    return approval === null ? null : loaders.approval.load(approval);
  }

  @ResolveField('expired')
  expired(@Parent() { dueAt, closedAt }: ReviewDutyRecord): boolean {
    return (closedAt === null ? Date.now() : Date.parse(closedAt)) > Date.parse(dueAt);
  }
}
