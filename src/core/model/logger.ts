/** Facts that go with a log line; values are JSON-serialisable. */
export type LogFields = Record<string, unknown>;

/** What rooms log through. Messages start with a capital letter; facts go into fields, never credentials. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}
