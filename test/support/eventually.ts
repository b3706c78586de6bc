import { setTimeout as sleep } from 'node:timers/promises';

/** Long, because others may be using the machine; nothing waits for it when all is well. */
const PATIENCE = 120_000;

/** Polls until there is a value. */
export async function eventually<T>(
  what: string,
  value: () => Promise<T | null | undefined | false>,
  otherwise: () => Promise<string> = async () => '',
  patience = PATIENCE,
  pause = 25,
): Promise<T> {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await value();
    if (found !== null && found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited ${patience / 1000} s for ${what} ${await otherwise()}`);
    await sleep(pause);
  }
}
