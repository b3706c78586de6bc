import { readFileSync } from 'node:fs';
import { createMetrics, requestHistogram } from '../../src/api/metrics.js';
import type { ServiceState } from '../../src/api/state.js';
import type { Queries } from '../../src/report/queries.js';

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly query: string | { readonly query: string } }[] };
}

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const dashboard = JSON.parse(read('docs/grafana/countersign.json')) as Dashboard;
const named = (text: string): string[] => text.match(/countersign_[a-z_]+/g) ?? [];
// What they are called needs no values.
const registry = createMetrics({} as ServiceState, {} as Queries);
requestHistogram(registry);

describe('the Grafana dashboard', () => {
  const metrics = registry
    .getMetricsAsArray()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('countersign_'));
  const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const variables = dashboard.templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query));

  it('asks for metrics that there are, with labels that they have', () => {
    const asked = new Set([...expressions, ...variables].flatMap(named).map((name) => name.replace(/_bucket$/, '')));
    expect([...asked].filter((name) => !metrics.includes(name))).toEqual([]);
  });

  it('shows all of them, and so do the docs', () => {
    const shown = new Set(expressions.flatMap(named).map((name) => name.replace(/_bucket$/, '')));
    expect(metrics.filter((name) => !shown.has(name))).toEqual([]);
    const documented = new Set(named(read('docs/metrics.md')));
    expect(metrics.filter((name) => !documented.has(name) && name !== 'countersign_build_info')).toEqual([]);
  });

  it('has panels of their own ids', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});
