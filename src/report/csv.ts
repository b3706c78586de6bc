/** A value of a cell; a list is written with `; ` between its items. */
export type Cell = string | number | boolean | null | readonly string[];

const LINE_END = '\r\n';

/**
 * One record of RFC 4180. A cell that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, one of these at full width, a tab or a
 * line break) gets an apostrophe in front, as OWASP advises ("CSV Injection"); numbers of ours are written as they are.
 */
export function csvRecord(cells: readonly Cell[]): string {
  let line = '';
  for (let i = 0; i < cells.length; i++) line += (i === 0 ? '' : ',') + csvCell(cells[i]);
  return line + LINE_END;
}

/** A string that is not written as it is: one that a spreadsheet would take for a formula, or that needs quotes. */
const SPECIAL = /^[=+\-@\t＝＋－＠]|[",\r\n]/;

/** One cell of a record. */
export function csvCell(cell: Cell): string {
  if (typeof cell === 'string') {
    if (!SPECIAL.test(cell)) return cell;
    const safe = /^[=+\-@\t\r\n＝＋－＠]/.test(cell) ? `'${cell}` : cell;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }
  if (cell === null) return '';
  if (typeof cell !== 'object') return String(cell);
  return cell.length === 0 ? '' : csvCell(cell.length === 1 ? cell[0] : cell.join('; '));
}
