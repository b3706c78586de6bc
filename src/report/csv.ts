/** A value of a cell; a list is written with `; ` between its items. */
export type Cell = string | number | boolean | null | readonly string[];

const LINE_END = '\r\n';

/**
 * One record of RFC 4180. A cell that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a line
 * break) gets an apostrophe in front, as OWASP advises ("CSV Injection"); numbers of ours are written as they are.
 */
export function csvRecord(cells: readonly Cell[]): string {
  let line = '';
  for (let i = 0; i < cells.length; i++) line += (i === 0 ? '' : ',') + csvCell(cells[i]);
  return line + LINE_END;
}

function csvCell(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell !== 'string') {
    if (typeof cell === 'object') return csvCell(cell.join('; '));
    return String(cell);
  }
  const safe = /^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
