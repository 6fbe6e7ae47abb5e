import { readFile, stat } from 'node:fs/promises';
import { isErrno } from '../../../utils/errors.ts';

/** What conmon's exit file says. */
export interface ExitFile {
  /** 0–255. */
  exitCode: number;
  /** Nanoseconds since 1970, the file's time: conmon writes it within milliseconds of the end. */
  finishedAt: bigint;
}

/** The exit file, or undefined when there is none. conmon puts it there whole, by rename. */
export async function readExitFile(path: string): Promise<ExitFile | undefined> {
  try {
    const [text, { mtimeNs }] = await Promise.all([readFile(path, 'utf8'), stat(path, { bigint: true })]);
    return { exitCode: parseExitCode(text), finishedAt: mtimeNs };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The code in an exit file; 255, as other runtimes say it, for what is no code (conmon writes -1 when it knows none). */
export function parseExitCode(text: string): number {
  const digits = text.trim();
  const code = /^\d{1,3}$/.test(digits) ? Number(digits) : 255;
  return code <= 255 ? code : 255;
}
