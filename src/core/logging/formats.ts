import type { LogFields, LogLevel } from '../model/logger.ts';
import { printable, quoted } from './escape.ts';
import { redactText } from './redact.ts';
import { type Plain, serialise } from './serialise.ts';

/** One log line before it is written. */
export interface LogEntry {
  time: Date;
  level: LogLevel;
  message: string;
  fields: LogFields;
}

const RESERVED = new Set(['time', 'level', 'msg']);

/** One JSON object on one line: time (RFC 3339, UTC), level, msg, then the fields; a field named like those gets a `_`. */
export function formatJson(entry: LogEntry): string {
  const line: [string, Plain][] = [
    ['time', entry.time.toISOString()],
    ['level', entry.level],
    ['msg', redactText(entry.message)],
  ];
  for (const [name, value] of fieldsOf(entry)) line.push([RESERVED.has(name) ? `${name}_` : name, value]);
  return JSON.stringify(Object.fromEntries(line));
}

const COLOURS: Record<LogLevel, string> = { debug: '90', info: '36', warn: '33', error: '31' };

/** `time LEVEL Message key=value …`, always on one line; coloured for a terminal. */
export function formatText(entry: LogEntry, colour: boolean): string {
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const parts = [
    paint('90', entry.time.toISOString()),
    paint(COLOURS[entry.level], entry.level.toUpperCase().padEnd(5)),
    printable(redactText(entry.message)),
  ];
  for (const [name, value] of fieldsOf(entry)) parts.push(`${paint('90', `${bare(name)}=`)}${textValue(value)}`);
  return parts.join(' ');
}

function fieldsOf(entry: LogEntry): [string, Plain][] {
  const plain = serialise(entry.fields);
  return typeof plain === 'object' && plain !== null && !Array.isArray(plain) ? Object.entries(plain) : [];
}

function textValue(value: Plain): string {
  if (typeof value === 'string') return bare(value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (!Array.isArray(value) && typeof value['message'] === 'string') return bare(errorText(value));
  return printable(JSON.stringify(value));
}

/** An Error for people: its stack if present, else the messages of the chain of causes. */
function errorText(error: Record<string, Plain>): string {
  const own = [error['stack'], error['message']].find((text) => typeof text === 'string') ?? '';
  const cause = error['cause'];
  if (typeof cause !== 'object' || cause === null || Array.isArray(cause) || cause['message'] === undefined) return own;
  return `${own}, caused by: ${errorText(cause)}`;
}

/** logfmt: quoted only where it must be. */
function bare(text: string): string {
  return /^[\w./:@%+,\[\]-]+$/.test(text) ? text : quoted(text);
}
