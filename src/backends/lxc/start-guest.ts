import { readFile } from 'node:fs/promises';
import { CriError, StatusCode, invalidArgument } from '../../core/model/errors.ts';
import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { CommandError, run } from '../../host/processes/run.ts';

/** A start takes some 30 ms; liblxc's monitor waits for ever when the guest's first process dies at a bad moment. */
const startTimeoutMs = 60_000;

/**
 * Starts the guest whose configuration lies at `<lxcPath>/<id>/config`; it runs when this returns, and liblxc's monitor
 * stays as a daemon of its own.
 * @throws CriError with the last errors of liblxc's log: INVALID_ARGUMENT for a kernel parameter that the kernel refuses,
 * INTERNAL otherwise, UNAVAILABLE when lxc-start is missing.
 */
export async function startGuest(
  lxcStart: string,
  lxcPath: string,
  { id, userNamespace }: Pick<SandboxSpec, 'id' | 'userNamespace'>,
  logFile: string,
): Promise<void> {
  const args = ['--lxcpath', lxcPath, '--name', id, '--daemon', '--close-all-fds'];
  // Where liblxc finds newuidmap it wants the range in root's lines of /etc/subuid; here the kubelet has chosen it, from
  // what is reserved for itself. Without PATH, liblxc writes uid_map with its own rights.
  const env = userNamespace === undefined ? { PATH: process.env.PATH } : {};
  try {
    await run(lxcStart, args, { env, cwd: '/', timeoutMs: startTimeoutMs });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === undefined && error.signal === undefined) {
      throw new CriError(StatusCode.UNAVAILABLE, `${error.message}; is the Debian package lxc installed?`, {
        cause: error,
      });
    }
    const words = lastErrors(await readFile(logFile, 'utf8').catch(() => ''));
    const sysctl = words.find((word) => word.includes('sysctl parameters '));
    if (sysctl !== undefined) throw invalidArgument('linux.sysctls', sysctl);
    throw new CriError(
      StatusCode.INTERNAL,
      `cannot start the pod's LXC container: ${words.join('; ') || error.message}`,
      {
        cause: error,
      },
    );
  }
}

/** The errors in a liblxc log without time stamps and source lines: at most five, the first is the cause. */
function lastErrors(log: string): string[] {
  const errors = log.split('\n').flatMap((line) => / ERROR +\S+ - \S+ - (.*)$/.exec(line)?.[1]?.slice(0, 300) ?? []);
  return errors.slice(0, 5);
}
