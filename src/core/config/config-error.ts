import { CriError, StatusCode } from '../model/errors.ts';

/** An invalid configuration: INVALID_ARGUMENT, one sentence per problem, each with its location and remedy. */
export class ConfigError extends CriError {
  /** "FILE:LINE: key.path: problem and remedy". The message has one problem per line. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(StatusCode.INVALID_ARGUMENT, problems.join('\n'), options);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
