import { Controller, Get, Inject, NotFoundException, Param, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { LOG_FILES, type LogFiles } from './state.js';

/**
 * C2SP tlog-tiles: a tile never changes once it exists, so whoever has one may keep it for ever; the checkpoint moves. Where reading takes a token,
 * no cache that several people share may keep either.
 */
@Controller('log')
export class LogController {
  constructor(@Inject(LOG_FILES) private readonly files: LogFiles) {}

  @Get('checkpoint')
  async checkpoint(@Res() reply: FastifyReply): Promise<void> {
    const note = await this.files.checkpoint();
    await this.#kept(reply, 'no-cache').type('text/plain; charset=utf-8').send(note);
  }

  @Get('tile/*')
  async tile(@Param('*') rest: string, @Res() reply: FastifyReply): Promise<void> {
    const bytes = await this.files.tile(`tile/${rest}`);
    // Not "never": the tile may come to be with the next entries.
    if (!bytes) throw new NotFoundException();
    await this.#kept(reply, 'max-age=31536000, immutable')
      .type('application/octet-stream')
      .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  #kept(reply: FastifyReply, how: string): FastifyReply {
    if (!this.files.public) return reply.header('cache-control', `private, ${how}`).header('vary', 'authorization');
    return reply.header('cache-control', how === 'no-cache' ? how : `public, ${how}`);
  }
}
