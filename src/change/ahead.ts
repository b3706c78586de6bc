/**
 * Starts work on items before their turn and gives results in the order of items. At most `items` are underway, and no more are
 * started once results that wait for their turn hold `bytes`.
 */
export async function* ahead<T, R extends { readonly bytes: number }>(
  source: AsyncIterable<T> | Iterable<T>,
  start: (item: T) => Promise<R>,
  limit: { readonly items: number; readonly bytes: number },
): AsyncGenerator<{ readonly item: T; readonly result: R }> {
  const window: { readonly item: T; readonly result: Promise<R> }[] = [];
  let held = 0;
  const next = async () => {
    const { item, result } = window.shift()!;
    const done = await result;
    held -= done.bytes;
    return { item, result: done };
  };
  for await (const item of source) {
    const result = start(item).then((done) => {
      held += done.bytes;
      return done;
    });
    // Awaited in its turn; a fault must not be taken for one that nobody handles until then.
    result.catch(() => undefined);
    window.push({ item, result });
    if (window.length < limit.items && held <= limit.bytes) continue;
    // Half of it at once: what is asked for together goes to others in one message, and waking them is what costs.
    while (window.length > 0 && (window.length > limit.items / 2 || held > limit.bytes / 2)) yield await next();
  }
  while (window.length > 0) yield await next();
}
