import { CriError, StatusCode } from '../model/errors.ts';

/** What is wrong with the configuration: INVALID_ARGUMENT, one sentence a problem, each with its place and remedy. */
export class ConfigError extends CriError {
  /** "FILE:LINE: key.path: what is wrong and what to write". The message is these, one a line. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(StatusCode.INVALID_ARGUMENT, problems.join('\n'), options);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
