import { csvCell, csvRecord, type Cell } from './csv.js';
import type { ReportFormat } from './export-entry.js';
import { columns, type Population } from './population.js';

/** The bytes of a population, a page at a time: CSV with a head (RFC 4180, UTF-8), or an object a line. */
export async function* writePopulation(population: Population, format: ReportFormat): AsyncIterable<string> {
  if (format === 'csv') yield csvRecord(columns.map(({ name }) => name));
  // Used again for each row: of a million rows, what they leave behind is what the memory goes to.
  const cells = Array.from(columns, () => '');
  for await (const page of population.pages()) {
    const lines: string[] = [];
    for (const row of page) {
      if (format === 'csv') {
        for (let i = 0; i < columns.length; i++) cells[i] = csvCell(columns[i].value(row));
        lines.push(cells.join(','));
      } else {
        lines.push(JSON.stringify(Object.fromEntries(columns.map(({ name, value }): [string, Cell] => [name, value(row)])))); // prettier-ignore
      }
    }
    lines.push('');
    yield lines.join(format === 'csv' ? '\r\n' : '\n');
  }
}
