/**
 * The order of `git rev-list --topo-order --reverse` for one head: children are shown once all of theirs are, the last parent
 * first (git's revision.c and commit.c keep them on a stack), and the whole turned round.
 */
export function topologicalOrder(head: string, parents: ReadonlyMap<string, readonly string[]>): string[] {
  const children = new Map<string, number>();
  for (const ids of parents.values()) for (const id of ids) children.set(id, (children.get(id) ?? 0) + 1);
  const order: string[] = [];
  const ready = parents.has(head) ? [head] : [];
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    order.push(id);
    for (const parent of parents.get(id) ?? []) {
      const left = (children.get(parent) ?? 0) - 1;
      children.set(parent, left);
      if (left === 0 && parents.has(parent)) ready.push(parent);
    }
  }
  return order.toReversed();
}
