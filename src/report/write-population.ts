import { csvRecord, type Cell } from './csv.js';
import type { ReportFormat } from './export-entry.js';
import { columns, type Population } from './population.js';

/** The bytes of a population, a page at a time: CSV with a head (RFC 4180, UTF-8), or an object a line. */
export async function* writePopulation(population: Population, format: ReportFormat): AsyncIterable<string> {
  if (format === 'csv') yield csvRecord(columns.map(({ name }) => name));
  for await (const page of population.pages()) {
    let text = '';
    for (const row of page) {
      if (format === 'csv') text += csvRecord(columns.map(({ value }) => value(row)));
      else
        text += `${JSON.stringify(Object.fromEntries(columns.map(({ name, value }): [string, Cell] => [name, value(row)])))}\n`;
    }
    yield text;
  }
}
