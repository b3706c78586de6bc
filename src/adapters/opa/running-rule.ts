import type { Place } from '../../errors.js';
import type { Rule } from '../../policy/decision.js';

/** OPA names the functions of its Wasm after rules: `g0.data.countersign.images.pinned`. */
const FUNCTION = /(?:^|\bopa\.wasm\.)g\d+\.data\.([^\s()]+)/;
/** What compiler and templates add to names. */
const TWIN = /^(.+)\.countersign__(.+)__(?:object|change|conftest|admission)$/;
const OWN = /^countersign__(?:run|gatekeeper)\b/;
const TEMPLATES = /^countersign__templates\./;

/** A policy that was stopped, by the rules that were being evaluated. */
export interface RunningRule {
  /** In words, to follow what happened: ` in the rule …`; '' if nobody knows. */
  readonly where: string;
  /** That of the deny, warn or require rule that it happened for. */
  readonly place: Place | undefined;
}

/** From the stack of what was thrown. */
export function throwingRule(error: unknown, rules: readonly Rule[] = []): RunningRule {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : [];
  return running(lines.toReversed(), rules);
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string };
  readonly hitCount?: number;
  readonly children?: readonly number[];
}

/** From a processor profile (V8's JSON): where most of the time went. */
export function busiestRule(profile: string, rules: readonly Rule[] = []): RunningRule {
  const { nodes } = JSON.parse(profile) as { readonly nodes: readonly ProfileNode[] };
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const totals = new Map<number, number>();
  // Children come after what calls them.
  for (const { id, hitCount = 0, children = [] } of nodes.toReversed())
    totals.set(
      id,
      children.reduce((sum, child) => sum + (totals.get(child) ?? 0), hitCount),
    );
  const names: string[] = [];
  for (let node: ProfileNode | undefined = nodes[0]; node;) {
    names.push(node.callFrame.functionName);
    const [busiest] = (node.children ?? []).toSorted((a, b) => (totals.get(b) ?? 0) - (totals.get(a) ?? 0));
    node = busiest === undefined ? undefined : byId.get(busiest);
  }
  return running(names, rules);
}

/** `names` from the outermost to the innermost. */
function running(names: readonly string[], rules: readonly Rule[]): RunningRule {
  const called = names.map((name) => FUNCTION.exec(name)?.[1] ?? '').filter((name) => name !== '' && !OWN.test(name));
  const innermost = called.at(-1);
  if (innermost === undefined) return { where: '', place: undefined };
  const deciding = called.map((name) => TWIN.exec(name)).find((match) => match !== null);
  const place = deciding && rules.find((rule) => rule.package === deciding[1] && rule.name === deciding[2])?.place;
  return {
    where: ` in the rule ${innermost.replace(TWIN, '$1.$2').replace(TEMPLATES, '')}`,
    place: place ?? undefined,
  };
}
