/** Facts that go with a log line; values are JSON-serialisable (bigint, Error and Map are too, here). */
export type LogFields = Record<string, unknown>;

/** Severities, the most talkative first. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What rooms log through. Messages start with a capital letter; facts go into fields, never credentials. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}

/** The process's own logger, whose level follows the configuration while it runs. It governs every logger made from it. */
export interface RootLogger extends Logger {
  readonly level: LogLevel;
  setLevel(level: LogLevel): void;
}
