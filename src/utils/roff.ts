/** A text as roff, which is printed as it is (groff_char(7)); what is between backquotes is bold. */
export function roffText(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll("'", '\\(aq').replaceAll('~', '\\(ti');
  const styled = escaped.replaceAll(/`([^`]+)`/g, '\\fB$1\\fR').replaceAll('^', '\\(ha');
  // A line that begins with a dot would be a request.
  return styled.replaceAll(/^\./gm, '\\&.');
}

/** The lines of a manual page (man(7)): title line, then blocks. */
export function manualPage(
  { name, section, date, version }: { name: string; section: number; date: string; version: string },
  blocks: readonly string[],
): string {
  const title = `.TH ${roffText(name.toUpperCase())} ${String(section)} "${date}" "proxmox\\-lxcri ${version}"`;
  return `${[title, ...blocks].join('\n')}\n`;
}

/** A section with its paragraphs. */
export function manualSection(title: string, ...paragraphs: readonly string[]): string {
  return [`.SH ${roffText(title)}`, ...paragraphs].join('\n');
}

/** A term with its explanation. */
export function manualTerm(term: string, explanation: string): string {
  return `.TP\n\\fB${roffText(term)}\\fR\n${roffText(explanation)}`;
}

/** Lines that are printed unfilled. */
export function manualLines(lines: readonly string[]): string {
  return ['.PP', '.EX', ...lines.map(roffText), '.EE'].join('\n');
}
