import type { Finding } from '../../core/model/finding.ts';
import { printable } from '../../core/logging/escape.ts';

const LABELS = { ok: 'PASS', warning: 'WARN', missing: 'FAIL' } as const;
/** Green, yellow, red (ECMA-48, SGR). */
const COLOURS = { ok: 32, warning: 33, missing: 31 } as const;
/** Below this width lines are not broken. */
const NARROWEST = 40;

export interface ReportOptions {
  /** Columns of the terminal. */
  width: number;
  colour: boolean;
}

/**
 * Findings as lines of `STATUS  SUBJECT  FOUND`, each with its remedy below, and totals, broken to the width. Commands are
 * not broken: a terminal copies them whole.
 */
export function formatFindings(findings: readonly Finding[], { width, colour }: ReportOptions): string {
  const label = (status: Finding['status']) =>
    colour ? `\u001b[${String(COLOURS[status])}m${LABELS[status]}\u001b[0m` : LABELS[status];
  const widest = Math.max(0, ...findings.map(({ subject }) => subject.length));
  const indent = Math.min(widest, Math.floor(width / 3)) + 'PASS'.length + 4;
  const room = Math.max(width, NARROWEST) - indent;
  const blocks = findings.map(({ subject, status, found, remedy, commands = [] }) => {
    const lines = [
      ...wrap(printable(found), room),
      ...(remedy === '' ? [] : wrap(`Remedy: ${printable(remedy)}`, room)),
      ...commands.map(printable),
    ];
    const head = `${label(status)}  ${subject.padEnd(indent - 8)}  `;
    // A long subject has a line of its own.
    const isLong = subject.length > indent - 8;
    const texts = isLong ? lines.map((line) => `\n${' '.repeat(indent)}${line}`).join('') : '';
    if (isLong) return `${head.trimEnd()}${texts}\n`;
    return lines.map((line, index) => `${index === 0 ? head : ' '.repeat(indent)}${line}\n`).join('');
  });
  const count = (wanted: Finding['status']) => String(findings.filter(({ status }) => status === wanted).length);
  const totals = `${count('ok')} passed, ${count('warning')} warnings, ${count('missing')} failed`;
  return `${blocks.join('')}\n${totals}\n`;
}

/** Lines of at most `room` characters, broken between words; a longer word has a line of its own. */
function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= room) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
