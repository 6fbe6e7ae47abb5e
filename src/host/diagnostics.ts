import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeHeapSnapshot } from 'node:v8';
import type { Logger } from '../core/model/logger.ts';
import { messageOf } from '../utils/errors.ts';

/**
 * Has SIGUSR1 write a diagnostic report (stacks, handles, memory; no environment, and no address is looked up) and SIGUSR2 a
 * heap snapshot, which holds whatever the process holds, into `directory`: mode 0600 in a directory of mode 0700, the newest
 * of each kind alone. SIGUSR1 opens no debugger then, which Node.js would do otherwise.
 */
export function writeDiagnosticsOnSignals(directory: string, logger: Logger): void {
  const on = (signal: 'SIGUSR1' | 'SIGUSR2', name: string, write: (path: string) => unknown) => {
    process.on(signal, () => {
      const path = join(directory, `${new Date().toISOString().replaceAll(':', '-')}${name}`);
      prepare(directory, name).then(
        () => {
          const umask = process.umask(0o077);
          try {
            write(path);
          } finally {
            process.umask(umask);
          }
          logger.info('Wrote diagnostics', { signal, path });
        },
        (error: unknown) => {
          logger.error('Cannot write diagnostics', { signal, path, error: messageOf(error) });
        },
      );
    });
  };
  // The types of Node.js lack the first.
  Object.assign(process.report, { excludeNetwork: true, excludeEnv: true });
  on('SIGUSR1', '.report.json', (path) => process.report.writeReport(path));
  on('SIGUSR2', '.heapsnapshot', writeHeapSnapshot);
}

async function prepare(directory: string, suffix: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  for (const name of await readdir(directory)) if (name.endsWith(suffix)) await rm(join(directory, name));
}
