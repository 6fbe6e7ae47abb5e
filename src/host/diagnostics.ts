import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeHeapSnapshot } from 'node:v8';
import type { Logger } from '../core/model/logger.ts';
import { messageOf } from '../utils/errors.ts';

/**
 * Writes, on SIGUSR2, a diagnostic report (stacks, handles, memory; no environment, no address lookups) and a heap snapshot,
 * which contains all data of the process, to `directory`: mode 0600 in a directory of mode 0700, only the newest of each kind. SIGUSR1 would open a debugger; `--disable-sigusr1` blocks it, for Node.js's own listeners as well.
 */
export function writeDiagnosticsOnSignal(directory: string, logger: Logger): void {
  // The types of Node.js lack it.
  Object.assign(process.report, { excludeNetwork: true });
  process.on('SIGUSR2', () => {
    write(directory).then(
      (paths) => {
        logger.info('Diagnostics written', { paths });
      },
      (error: unknown) => {
        logger.error('Writing diagnostics failed', { directory, error: messageOf(error) });
      },
    );
  });
}

async function write(directory: string): Promise<string[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  for (const name of await readdir(directory)) await rm(join(directory, name));
  const base = join(directory, new Date().toISOString().replaceAll(':', '-'));
  const report = `${base}.report.json`;
  // The environment, also in the reports of worker threads, may contain credentials.
  const withoutEnvironment = (key: string, value: unknown) => (key === 'environmentVariables' ? undefined : value);
  await writeFile(report, JSON.stringify(process.report.getReport(), withoutEnvironment, 2), { mode: 0o600 });
  const umask = process.umask(0o077);
  try {
    return [report, writeHeapSnapshot(`${base}.heapsnapshot`)];
  } finally {
    process.umask(umask);
  }
}
