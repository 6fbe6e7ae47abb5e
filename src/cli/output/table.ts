import { printable } from '../../core/logging/escape.ts';

const GAP = '  ';
/** The minimum width of a column, which fits a short id. */
const NARROWEST = 13;

/**
 * Rows under headings in aligned columns, two spaces apart; control characters in cells are escaped. With `width`, the widest
 * cells are truncated, with "…" at their end, so that lines fit into it if possible. Ends with a newline.
 */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[], width?: number): string {
  const lines = [headings, ...rows.map((row) => row.map((cell) => printable(cell) || '-'))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  if (width !== undefined) fit(widths, width - GAP.length * (headings.length - 1));
  const format = (line: readonly string[]) =>
    line
      .map((cell, column) => cut(cell, widths[column] ?? 0).padEnd(widths[column] ?? 0))
      .join(GAP)
      .trimEnd();
  return `${lines.map(format).join('\n')}\n`;
}

/** Shrinks the widest column by one character at a time until the lines fit. */
function fit(widths: number[], width: number): void {
  let total = widths.reduce((sum, column) => sum + column, 0);
  for (; total > width; total--) {
    const widest = Math.max(...widths);
    if (widest <= NARROWEST) return;
    widths[widths.indexOf(widest)] = widest - 1;
  }
}

/** `cell` in at most `width` characters, with "…" at the end when it is cut. */
export function cut(cell: string, width: number): string {
  return cell.length > width ? `${cell.slice(0, width - 1)}…` : cell;
}
