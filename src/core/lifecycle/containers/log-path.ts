import { posix } from 'node:path';
import { invalidArgument } from '../../model/errors.ts';

/**
 * The absolute path of the container's log: `log_path` below the pod's `log_directory`; empty when either is not set, since
 * both are optional in CRI.
 * @throws CriError INVALID_ARGUMENT for a path that leaves the log directory.
 */
export function containerLogPath(logDirectory: string, logPath: string): string {
  if (logPath === '' || logDirectory === '') return '';
  const path = posix.join(logDirectory, logPath);
  const directory = posix.normalize(logDirectory).replace(/\/+$/, '');
  if (!path.startsWith(`${directory}/`)) {
    throw invalidArgument('config.log_path', `${JSON.stringify(logPath)} is outside the pod's log directory`);
  }
  return path;
}
