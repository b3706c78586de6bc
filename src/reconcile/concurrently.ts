/** Requests that are under way at once; the API server's own share for one user is a few more. */
const CONCURRENCY = 8;

/** In order of the items, a bounded number at a time. Rejects with the first failure; what is under way then goes on. */
export async function concurrently<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: Math.min(CONCURRENCY, items.length) }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
