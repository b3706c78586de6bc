import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { Reader, stepsOf } from '../support/guide.js';

// Pages as their reader would follow them: files are written as they stand there, commands run, and say what it says they do.

const readers: Reader[] = [];
afterAll(() => Promise.all(readers.map((reader) => reader.close())));

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => probe.once('listening', listening));
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  return port;
}

describe('a page that is followed from an empty folder', () => {
  it.each([
    ['docs/policies.md', 5],
    ['docs/quick-start.md', 7],
  ])(
    '%s works as it is written',
    async (page, least) => {
      const port = await freePort();
      const steps = stepsOf(readFileSync(page, 'utf8').replaceAll('127.0.0.1:4100', `127.0.0.1:${port}`));
      expect(steps.filter(({ command }) => command?.includes('countersign ')).length).toBeGreaterThanOrEqual(least);
      const reader = new Reader();
      readers.push(reader);
      for (const step of steps) {
        const done = await reader.follow(step);
        if (!done) continue;
        const { command, printed, asWritten } = done;
        expect({ command, printed }).toEqual({ command, printed: expect.stringMatching(asWritten) as string });
      }
    },
    300_000,
  );
});
