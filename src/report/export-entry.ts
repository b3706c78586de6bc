import type { EntryDraft } from '../audit/entry.js';
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

export function exportEntry(manifest: ExportManifest): EntryDraft {
  const { filters, ...rest } = manifest;
  return { type: 'export', subjects: [], predicate: { ...rest, filters: { ...filters } } };
}
