import type { EntryDraft } from '../audit/entry.js';
import type { Place } from '../audit/reach.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { PopulationQuery } from './population.js';

/** Of listings, which hold every row; and of reports on them. */
export const reportFormats = ['csv', 'jsonl'] as const;
export type ReportFormat = (typeof reportFormats)[number];
export const managementFormats = ['pdf', 'json'] as const;
export type ManagementFormat = (typeof managementFormats)[number];
export type ReportName = 'changes' | 'management' | 'oscal' | 'vsa' | 'evidence';

/** How the changes of a report were chosen that are shown in full (src/report/sample.ts). */
export interface Sampling {
  readonly seed: string;
  readonly size: number;
}

/** What an export says of itself, and the log says of the export: what was asked for, when, and how much there was. */
export interface ExportManifest {
  readonly id: string;
  readonly report: ReportName;
  readonly format: ReportFormat | ManagementFormat | 'zip';
  readonly filters: PopulationQuery;
  /** Rows, and the size of the log that they were taken from: entries 0 to size - 1. */
  readonly rows: number;
  readonly size: number;
  /** RFC 3339, UTC. */
  readonly time: string;
  /** Of a report on management, what is shown in full; of a listing, what is in it of its rows. */
  readonly sample?: Sampling;
  /** Of an assessment: the catalogue or the control that was asked for. */
  readonly controls?: string;
  /** Of evidence for somebody who may not see everything: whose contents are in it. */
  readonly reach?: readonly Place[];
}

/** Who takes it: what their token is called, and how they log in. */
export interface ExportedBy {
  readonly token: string;
  readonly login: string;
}

export function exportEntry(manifest: ExportManifest, { token, login }: ExportedBy): EntryDraft {
  const { filters, sample, reach, ...rest } = manifest;
  const places = reach?.map(({ repositories, environments }) => ({ repositories, environments }));
  const predicate = { ...rest, filters: { ...filters }, ...(places && { reach: places }) };
  const by = { mediaType: 'application/json', bytes: Buffer.from(canonicalJson({ token, login })), salted: true };
  const sampled = sample ? { ...predicate, sample: { ...sample } } : predicate;
  return { type: 'export', subjects: [], predicate: sampled, contents: { by } };
}
