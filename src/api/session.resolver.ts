import { Inject } from '@nestjs/common';
import { Args, Context, Mutation, Query, Resolver } from '@nestjs/graphql';
import { CountersignError } from '../errors.js';
import type { Session } from '../review/session.js';
import type { SignIn } from '../review/sign-in.js';
import type { ApiContext } from './context.js';
import type { SigningIn } from './sign-in.controller.js';
import { SIGN_IN } from './state.js';

@Resolver('Session')
export class SessionResolver {
  constructor(@Inject(SIGN_IN) private readonly signing: SigningIn) {}

  @Query('sessions')
  sessions(): Promise<readonly Session[]> {
    return this.#signIn().list();
  }

  @Mutation('endSessions')
  endSessions(@Args('login') login: string, @Context() { authority }: ApiContext): Promise<number> {
    return this.#signIn().endOf(login, authority);
  }

  #signIn(): SignIn {
    if (this.signing.signIn) return this.signing.signIn;
    throw new CountersignError('not-found', 'nobody signs in here with a browser', {
      remedy: 'Set access.oidc.console (docs/access.md)',
    });
  }
}
