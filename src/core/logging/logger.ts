import { fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import winston from 'winston';
import type { LogFields, LogLevel, Logger, RootLogger } from '../model/logger.ts';
import { type LogEntry, formatJson, formatText } from './formats.ts';

export interface LoggerOptions {
  level: LogLevel;
  /** auto: text with colours on a terminal, JSON lines otherwise. */
  format: 'auto' | 'text' | 'json';
  /** Default: standard error. */
  stream?: Writable & { isTTY?: boolean; fd?: number };
  /** Default: the process's. JOURNAL_STREAM and NO_COLOR are used. */
  env?: NodeJS.ProcessEnv;
}

const LEVELS: Record<LogLevel, number> = { error: 0, warn: 1, info: 2, debug: 3 };
/** sd-daemon(3): the journal takes the severity from this prefix. */
const JOURNAL_PREFIX: Record<LogLevel, string> = { error: '<3>', warn: '<4>', info: '<6>', debug: '<7>' };

/**
 * Makes the process's logger. Each entry is written immediately, on one line. A disabled level costs one comparison. A failed
 * stream (its reader is gone) is not an error of this process.
 */
export function createLogger(options: LoggerOptions): RootLogger {
  const stream = options.stream ?? process.stderr;
  const env = options.env ?? process.env;
  const terminal = stream.isTTY === true;
  const text = options.format === 'text' || (options.format === 'auto' && terminal);
  const colour = terminal && (env['NO_COLOR'] ?? '') === '';
  const journal = readByJournal(stream.fd, env['JOURNAL_STREAM']);

  stream.on('error', () => undefined);
  const backend = winston.createLogger({
    levels: LEVELS,
    level: options.level,
    exitOnError: false,
    format: winston.format.printf((info) => {
      const entry = info['entry'] as LogEntry;
      return (journal ? JOURNAL_PREFIX[entry.level] : '') + (text ? formatText(entry, colour) : formatJson(entry));
    }),
    transports: [new winston.transports.Stream({ stream, eol: '\n' })],
  });
  return new WinstonLogger(backend, {});
}

class WinstonLogger implements RootLogger {
  readonly #backend: winston.Logger;
  readonly #fields: LogFields;

  constructor(backend: winston.Logger, fields: LogFields) {
    this.#backend = backend;
    this.#fields = fields;
  }

  get level(): LogLevel {
    return this.#backend.level as LogLevel;
  }

  setLevel(level: LogLevel): void {
    this.#backend.level = level;
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  with(fields: LogFields): Logger {
    return new WinstonLogger(this.#backend, { ...this.#fields, ...fields });
  }

  #log(level: LogLevel, message: string, fields: LogFields | undefined): void {
    // winston spends microseconds on a line of a disabled level.
    if (LEVELS[level] > LEVELS[this.level]) return;
    const entry: LogEntry = { time: new Date(), level, message, fields: { ...this.#fields, ...fields } };
    this.#backend.log({ level, message: '', entry });
  }
}

/** True when the file descriptor is the journal's stream that systemd.exec(5) names in JOURNAL_STREAM ("DEVICE:INODE"). */
function readByJournal(fd: number | undefined, journalStream: string | undefined): boolean {
  if (fd === undefined || journalStream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return journalStream === `${dev.toString()}:${ino.toString()}`;
  } catch {
    return false;
  }
}
