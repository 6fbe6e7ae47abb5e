import type { Logger } from '../../../../src/core/model/logger.ts';

/** A logger for tests that do not look at what is logged. */
export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silent,
};
