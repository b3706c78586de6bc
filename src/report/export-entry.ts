import type { EntryDraft } from '../audit/entry.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { PopulationQuery } from './population.js';

export const reportFormats = ['csv', 'jsonl'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** What an export says of itself, and the log says of the export: what was asked for, when, and how much there was. */
export interface ExportManifest {
  readonly id: string;
  readonly report: 'changes';
  readonly format: ReportFormat;
  readonly filters: PopulationQuery;
  /** Rows, and the size of the log that they were taken from: entries 0 to size - 1. */
  readonly rows: number;
  readonly size: number;
  /** RFC 3339, UTC. */
  readonly time: string;
}

/** Who takes it: what their token is called, and how they log in. */
export interface ExportedBy {
  readonly token: string;
  readonly login: string;
}

export function exportEntry(manifest: ExportManifest, { token, login }: ExportedBy): EntryDraft {
  const { filters, ...rest } = manifest;
  const by = { mediaType: 'application/json', bytes: Buffer.from(canonicalJson({ token, login })), salted: true };
  return { type: 'export', subjects: [], predicate: { ...rest, filters: { ...filters } }, contents: { by } };
}
