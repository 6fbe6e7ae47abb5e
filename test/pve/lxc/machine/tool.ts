import { execFile } from 'node:child_process';

/** What a tool printed. */
export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

interface ToolOptions {
  /** Added to the {@link environment}. */
  readonly env?: Readonly<Record<string, string>>;
  /** Kills it. */
  readonly signal?: AbortSignal;
  /** The command as an error says it, in place of the one that is run. */
  readonly shown?: string;
}

/** The environment of what the node starts. */
export const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

/**
 * Runs a tool of the machine.
 * @throws Error as the node words it; its cause has what the tool wrote to its standard error.
 */
export function tool(command: string, args: readonly string[], options: ToolOptions = {}): Promise<Printed> {
  const env = { ...environment, ...options.env };
  const settings = { env, cwd: '/', maxBuffer: 16 * 1024 ** 2, ...(options.signal && { signal: options.signal }) };
  return new Promise((resolve, reject) => {
    execFile(command, args, settings, (error, stdout, stderr) => {
      if (error === null) {
        resolve({ stdout, stderr });
        return;
      }
      const why = typeof error.code === 'number' ? `exit code ${error.code}` : (error.signal ?? error.message);
      const shown = options.shown ?? [command, ...args].join(' ');
      reject(new Error(`command '${shown}' failed: ${why}`, { cause: new Error(stderr.trim()) }));
    });
  });
}
