/** Fields of a log line; values are JSON-serializable, including bigint, Error and Map. */
export type LogFields = Record<string, unknown>;

/** Severities, the most verbose first. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** The logger of all modules. Messages start with a capital letter; data goes into fields, credentials never. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}

/** The process's logger, whose level can be changed while it runs and applies to all loggers derived from it. */
export interface RootLogger extends Logger {
  readonly level: LogLevel;
  setLevel(level: LogLevel): void;
}
