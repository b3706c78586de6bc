import { Controller, Get, Inject, NotFoundException, Param, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { LOG_FILES, type LogFiles } from './state.js';

/** C2SP tlog-tiles: a tile never changes once it exists, so anybody may keep it for ever; the checkpoint moves. */
@Controller('log')
export class LogController {
  constructor(@Inject(LOG_FILES) private readonly files: LogFiles) {}

  @Get('checkpoint')
  async checkpoint(@Res() reply: FastifyReply): Promise<void> {
    const note = await this.files.checkpoint();
    await reply.type('text/plain; charset=utf-8').header('cache-control', 'no-cache').send(note);
  }

  @Get('tile/*')
  async tile(@Param('*') rest: string, @Res() reply: FastifyReply): Promise<void> {
    const bytes = await this.files.tile(`tile/${rest}`);
    // Not "never": the tile may come to be with the next entries.
    if (!bytes) throw new NotFoundException();
    await reply
      .type('application/octet-stream')
      .header('cache-control', 'public, max-age=31536000, immutable')
      .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }
}
