import { Controller, Get, Inject, NotFoundException, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CountersignError, toCountersignError } from '../errors.js';
import { csrfToken } from '../review/session.js';
import type { SignIn, SignInSecrets } from '../review/sign-in.js';
import { type BrowserDoor, SESSION_COOKIE } from './door.js';
import { statusOf } from './graphql-errors.js';
import { type Page, refusedPage, returningPage, whoPage } from './pages.js';
import { Rate } from './rate.js';
import { ownPath } from './same-origin.js';
import { SIGN_IN } from './state.js';

/** What people who sign in with a browser meet; `signIn` is null where the service has no issuer for them. */
export interface SigningIn extends BrowserDoor {
  readonly signIn: SignIn | null;
}

/** What a browser holds while its person is at the issuer, and for how many seconds. */
const BEGUN_COOKIE = 'sign-in';
const BEGUN_SECONDS = 600;
const CALLBACK = '/login/callback';

/** Sign-ins that one address brings back, a second: each asks the issuer. */
const ANSWERS_PER_SECOND = 5;

interface Begun extends SignInSecrets {
  readonly to: string;
}

@Controller()
export class SignInController {
  readonly #answers = new Rate(ANSWERS_PER_SECOND);

  constructor(@Inject(SIGN_IN) private readonly signing: SigningIn) {}

  @Get('/')
  async who(@Req() { authority }: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    await send(reply, 200, whoPage(authority, this.signing.signIn !== null));
  }

  /** Who I am, for pages and programs. */
  @Get('session')
  session(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): object {
    void reply.header('cache-control', 'no-store').header('vary', 'cookie, authorization');
    const { authority, headers } = request;
    const secret = this.signing.cookies.read(headers.cookie, SESSION_COOKIE);
    return {
      login: !authority || authority.anonymous ? null : authority.login,
      by: authority && !authority.anonymous ? authority.token : null,
      roles: authority?.roles ?? [],
      expires: authority?.expires ?? null,
      csrf: authority?.session !== undefined && secret !== undefined ? csrfToken(secret) : null,
      signIn: this.signing.signIn ? '/login' : null,
    };
  }

  @Get('login')
  async login(
    @Query('to') to: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { signIn, cookies } = this.signing;
    if (!signIn) throw new NotFoundException();
    const origin = this.signing.origin();
    const path = to === undefined ? '/' : typeof to === 'string' ? ownPath(to, origin) : null;
    if (path === null) {
      const why = new CountersignError('query-invalid', 'after the sign-in nobody is sent to another place than here');
      return send(reply, 400, refusedPage(why));
    }
    // The cookie must be there when the issuer sends the browser back, which is to this one name.
    if (request.headers.host?.toLowerCase() !== new URL(origin).host) {
      return reply.header('cache-control', 'no-store').redirect(`${origin}/login?to=${encodeURIComponent(path)}`, 303);
    }
    try {
      const { address, ...secrets } = await signIn.begin(origin + CALLBACK);
      const begun = Buffer.from(JSON.stringify({ ...secrets, to: path } satisfies Begun)).toString('base64url');
      return await reply
        .header('set-cookie', cookies.write(BEGUN_COOKIE, begun, BEGUN_SECONDS))
        .header('cache-control', 'no-store')
        .redirect(address, 303);
    } catch (thrown) {
      return this.#refused(request, reply, thrown);
    }
  }

  @Get('login/callback')
  async callback(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<FastifyReply> {
    const { signIn, cookies } = this.signing;
    if (!signIn) throw new NotFoundException();
    try {
      if (!this.#answers.take(request.ip)) {
        throw new CountersignError('too-many-requests', 'too many sign-ins come from there', { retry: true });
      }
      const begun = begunBy(cookies.read(request.headers.cookie, BEGUN_COOKIE));
      const before = cookies.read(request.headers.cookie, SESSION_COOKIE) ?? null;
      const secret = await signIn.finish(this.signing.origin() + request.url, begun, before);
      // By a page of ours: what the browser asks for next is then asked for by the service itself, not by the issuer.
      return await send(
        reply.header('set-cookie', [
          cookies.write(SESSION_COOKIE, secret, signIn.seconds),
          cookies.clear(BEGUN_COOKIE),
        ]),
        200,
        returningPage(begun?.to ?? '/'),
      );
    } catch (thrown) {
      void reply.header('set-cookie', cookies.clear(BEGUN_COOKIE));
      return this.#refused(request, reply, thrown);
    }
  }

  /** Where to go from here: the issuer's own sign-out, where it has one. */
  @Post('logout')
  async logout(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<object> {
    const { signIn, cookies } = this.signing;
    void reply.header('cache-control', 'no-store').code(200);
    const secret = cookies.read(request.headers.cookie, SESSION_COOKIE);
    const known = signIn && secret !== undefined && request.authority?.session !== undefined;
    const away = known ? await signIn.end(secret, `${this.signing.origin()}/`) : null;
    if (secret !== undefined) void reply.header('set-cookie', cookies.clear(SESSION_COOKIE));
    return { to: away ?? '/' };
  }

  #refused(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
    const error = toCountersignError(thrown);
    const status = statusOf(error.code);
    if (status >= 500) request.log.error({ err: error }, 'a sign-in failed');
    return send(reply, status, refusedPage(error));
  }
}

/** What the browser brings back, which anybody can write. */
function begunBy(cookie: string | undefined): Begun | null {
  if (cookie === undefined) return null;
  try {
    const given = JSON.parse(Buffer.from(cookie, 'base64url').toString('utf8')) as Partial<
      Record<keyof Begun, unknown>
    >;
    const { verifier, state, nonce, to } = given;
    const texts = [verifier, state, nonce, to];
    if (!texts.every((text) => typeof text === 'string')) return null;
    const path = ownPath(String(to), 'http://127.0.0.1') ?? '/';
    return { verifier: String(verifier), state: String(state), nonce: String(nonce), to: path };
  } catch {
    return null;
  }
}

function send(reply: FastifyReply, status: number, { html, policy }: Page): FastifyReply {
  return reply
    .code(status)
    .type('text/html; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('vary', 'cookie, authorization')
    .header('content-security-policy', policy)
    .send(html);
}
