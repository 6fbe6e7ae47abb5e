import { ZfsError } from '../errors/zfs-error.ts';
import { Entries, type Entry, type Source } from './properties.ts';

const SOURCES: readonly string[] = ['none', 'default', 'local', 'received', 'temporary'] satisfies Source[];

/**
 * Reads the output of `zfs get -Hp` or `zpool get -Hp` with the columns name, property, value, source. A value may have tabs
 * and, though this client writes none, line breaks: lines belong to the row before until one begins with a name and a property
 * that were asked for, and a value that imitates a row is found by the property that its object then has twice.
 * @param properties those that were asked for.
 * @throws ZfsError badAnswer.
 */
export function readLines(what: string, text: string, properties: readonly string[]): Entry[] {
  const wanted = new Set(properties);
  const entries = new Entries();
  let row = '';
  const end = () => {
    if (row !== '' && !addRow(entries, row)) throw wrong(what, row);
    row = '';
  };
  if (text !== '' && !text.endsWith('\n')) throw new ZfsError('badAnswer', '', `${what}: its output is cut off`);
  for (const line of text.split('\n').slice(0, -1)) {
    const begins = wanted.has(line.split('\t', 2)[1] ?? '') && isEnded(row);
    if (begins) end();
    else if (row === '') throw wrong(what, line);
    row = row === '' ? line : `${row}\n${line}`;
  }
  end();
  return entries.list();
}

/** Whether a row has its last column. */
function isEnded(row: string): boolean {
  return row === '' || sourceOf(row.slice(row.lastIndexOf('\t') + 1)) !== undefined;
}

function addRow(entries: Entries, row: string): boolean {
  const [name = '', property = '', ...rest] = row.split('\t');
  const source = sourceOf(rest.pop() ?? '');
  if (source === undefined || rest.length === 0) return false;
  return entries.add(name, property, rest.join('\t'), source);
}

function sourceOf(column: string): Source | undefined {
  if (column === '-') return 'none';
  if (column.startsWith('inherited from ')) return column.includes('\n') ? undefined : 'inherited';
  return SOURCES.includes(column) ? (column as Source) : undefined;
}

function wrong(what: string, row: string): ZfsError {
  return new ZfsError('badAnswer', '', `${what}: unexpected output: ${JSON.stringify(row.slice(0, 200))}`);
}
