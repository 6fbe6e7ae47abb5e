import { readFile } from 'node:fs/promises';
import { unknown } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { CriError } from '../../core/model/errors.ts';
import { CommandError, run } from '../../host/processes/run.ts';
import { programEnv } from '../../host/processes/programs.ts';

/** Maximum milliseconds of a call of the OCI runtime; the kubelet's timeout is two minutes. */
export const RUNTIME_LIMIT_MS = 110_000;

/** Calls the OCI runtime for containers below `root`. @throws CommandError */
export async function callRuntime(runtime: string, root: string, args: readonly string[]): Promise<string> {
  const result = await run(runtime, [`--root=${root}`, ...args], {
    env: programEnv,
    cwd: '/',
    timeoutMs: RUNTIME_LIMIT_MS,
  });
  return result.stdout;
}

/** UNKNOWN with the operation and the runtime's message, which the kubelet shows to the user. */
export function runtimeError(what: string, error: unknown): CriError {
  const words = error instanceof CommandError ? error.stderr.trim() : '';
  return unknown(`${what}: ${words || messageOf(error) || 'no error message'}`, error);
}

/**
 * The errors in a log that the runtime wrote with `--log-format=json`, joined; empty when it reported none or there is no
 * log. Warnings are left out.
 */
export async function readRuntimeErrors(logPath: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(logPath, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return '';
    throw error;
  }
  return parseRuntimeErrors(text);
}

/** See {@link readRuntimeErrors}; lines that are not JSON objects are skipped. */
export function parseRuntimeErrors(text: string): string {
  const errors: string[] = [];
  for (const line of text.split('\n')) {
    let entry: unknown;
    try {
      entry = JSON.parse(line);
    } catch {
      continue;
    }
    if (typeof entry !== 'object' || entry === null) continue;
    const { level, msg } = entry as Record<string, unknown>;
    if (level === 'error' && typeof msg === 'string') errors.push(msg.trim());
  }
  return errors.join('; ');
}

/** Name and version from the first line of `--version`, such as `crun version 1.8.1`. @throws Error for other text. */
export function parseVersion(text: string): { name: string; version: string } {
  const match = /^(\S+) version (\S+)/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new Error(
      `"--version" printed ${JSON.stringify(text.slice(0, 100))}, which is not the output of an OCI runtime`,
    );
  }
  return { name: match[1], version: match[2] };
}
