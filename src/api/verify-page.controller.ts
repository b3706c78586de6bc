import { Controller, Get, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { readFileSync } from 'node:fs';

/** Built from web/verify: one page that needs nothing else, and by its own policy can load, run and send nothing else. */
@Controller('verify')
export class VerifyPageController {
  #page: { readonly html: string; readonly policy: string } | undefined;

  @Get()
  async page(@Res() reply: FastifyReply): Promise<void> {
    const { html, policy } = (this.#page ??= readPage());
    await reply
      .type('text/html; charset=utf-8')
      .header('cache-control', 'no-cache')
      .header('content-security-policy', `${policy}; frame-ancestors 'none'`)
      .send(html);
  }
}

function readPage(): { readonly html: string; readonly policy: string } {
  const compiled = import.meta.url.endsWith('.js');
  const html = readFileSync(
    new URL(compiled ? '../web/verify.html' : '../../dist/web/verify.html', import.meta.url),
    'utf8',
  );
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(html)?.[1] ?? `default-src 'none'`;
  return { html, policy };
}
