import { Inject } from '@nestjs/common';
import { Args, Context, Mutation, Resolver } from '@nestjs/graphql';
import { CountersignError, toCountersignError } from '../errors.js';
import type { AccessLog } from '../review/access-log.js';
import type { ApprovedBytes } from '../review/approval.js';
import type { Authority } from '../review/authority.js';
import type { LoginApprovals } from '../review/login-approvals.js';
import type { ApprovalRecord } from '../review/records.js';
import type { ApiContext } from './context.js';
import { APPROVING } from './state.js';

/** What approving takes of the running service. */
export interface Approving {
  readonly approvals: Pick<LoginApprovals, 'approve' | 'withdraw'>;
  readonly log: Pick<AccessLog, 'refused' | 'granted'>;
}

interface ApproveInput extends Omit<ApprovedBytes, 'base' | 'target'> {
  /** Not said by who only knows an earlier release: it is then that of the change. */
  readonly target?: string | null;
  readonly base?: string | null;
  readonly comment?: string | null;
}

/** Characters of a comment. */
const LONGEST = 2_000;

@Resolver()
export class ApproveResolver {
  constructor(@Inject(APPROVING) private readonly approving: Approving) {}

  @Mutation('approve')
  approve(@Args('input') input: ApproveInput, @Context() context: ApiContext): Promise<ApprovalRecord> {
    const { comment, repository, ref, environment, base = null, head, tree, renderedDigest, target } = input;
    if ((comment ?? '').length > LONGEST) {
      throw new CountersignError('query-invalid', `a comment has at most ${LONGEST} characters`);
    }
    const said = target === undefined ? {} : { target };
    const bytes = { repository, ref, environment, base, head, tree, renderedDigest, ...said };
    return this.#authorised(context, 'approve', bytes, (authority) =>
      this.approving.approvals.approve(authority, bytes, comment ?? undefined),
    );
  }

  @Mutation('withdrawApproval')
  withdraw(@Args('id') id: string, @Context() context: ApiContext): Promise<ApprovalRecord> {
    return this.#authorised(context, 'withdrawApproval', {}, (authority) =>
      this.approving.approvals.withdraw(authority, id),
    );
  }

  async #authorised<T>(
    { authority }: ApiContext,
    action: string,
    asked: { readonly repository?: string; readonly environment?: string },
    work: (authority: Authority) => Promise<T>,
  ): Promise<T> {
    try {
      return await work(authority);
    } catch (thrown) {
      const { code, message } = toCountersignError(thrown);
      if (code === 'forbidden' || code === 'not-found') {
        const { token, login } = authority;
        const why = code === 'forbidden' ? 'out-of-scope' : 'nothing-there';
        const { repository, environment } = asked;
        const about = {
          ...(repository === undefined ? {} : { repository }),
          ...(environment === undefined ? {} : { environment }),
        };
        await this.approving.log.refused({ action, code: why, token, login, ...about, message });
      }
      throw thrown;
    }
  }
}
