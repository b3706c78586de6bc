import { PostgresPopulations } from '../adapters/postgres/populations.js';
import type { KeyRing } from '../audit/keys.js';
import type { Queries } from '../report/queries.js';
import { shippedCatalogues } from '../report/controls.js';
import { LoggedReports } from '../report/reports.js';
import type { Statistics } from '../report/statistics.js';
import { sealSummary } from '../report/vsa.js';
import type { Service } from '../service.js';

/** Makes every kind of report and export; what few of them need is loaded when they are asked for. */
export function openReportMaking(
  { ledger, dataSource, checkpoint, answers }: Service,
  queries: Queries,
  statistics: Statistics,
  keys: KeyRing,
  version: string,
): LoggedReports {
  return new LoggedReports({
    ledger,
    populations: new PostgresPopulations(dataSource),
    statistics,
    queries,
    version,
    bundle: async (reach) => {
      const { bundleOf } = await import('../adapters/evidence/export.js');
      const { zipStream } = await import('../adapters/evidence/zip.js');
      const log = {
        checkpoint,
        readTile: ledger.readTile,
        storedDigests: (digests: readonly string[]) => ledger.storedDigests(digests),
        storedContent: (digest: string) => ledger.storedContent(digest),
      };
      return zipStream((await bundleOf(log, keys, () => undefined, reach ? { reach } : {})).parts);
    },
    summary: (entry) => sealSummary(keys.origin, entry, keys.entries),
    catalogues: async (repository) =>
      (repository === null ? null : await answers.controls(repository))?.catalogues ?? shippedCatalogues(),
    print: async (report) => (await import('../adapters/pdf/management.js')).managementPdf(report, keys.log.vkey),
  });
}
