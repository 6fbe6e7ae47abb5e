import { readFileSync, statSync } from 'node:fs';
import { isErrno } from '../../../utils/errors.ts';

/** The content of conmon's exit file. */
export interface ExitFile {
  /** 0–255. */
  exitCode: number;
  /** Nanoseconds since 1970, the file's time: conmon writes it within milliseconds of the end. */
  finishedAt: bigint;
}

/** The exit file, or undefined when there is none. conmon creates it atomically, by rename. */
export function readExitFile(path: string): ExitFile | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return { exitCode: parseExitCode(text), finishedAt: statSync(path, { bigint: true }).mtimeNs };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The code in an exit file; 255, as in other runtimes, for an invalid code (conmon writes -1 for an unknown one). */
export function parseExitCode(text: string): number {
  const digits = text.trim();
  const code = /^\d{1,3}$/.test(digits) ? Number(digits) : 255;
  return code <= 255 ? code : 255;
}
