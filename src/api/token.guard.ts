import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Access } from './access.js';
import type { ApiContext } from './context.js';
import { ACCESS } from './state.js';

/** Lets those in who send a valid token; what it is good for is asked where the thing is done (src/review/authority.ts). */
@Injectable()
export class TokenGuard implements CanActivate {
  constructor(@Inject(ACCESS) private readonly access: Access) {}

  async canActivate(execution: ExecutionContext): Promise<boolean> {
    const context = execution.getArgByIndex<ApiContext>(2);
    const header = context.req.headers.authorization;
    context.authority = await this.access.authenticate(header, execution.getHandler().name);
    return true;
  }
}
