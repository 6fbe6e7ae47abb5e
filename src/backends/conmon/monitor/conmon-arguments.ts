import { invalidArgument } from '../../../core/model/errors.ts';
import type { RunnerPaths } from '../paths.ts';

export interface MonitorRequest {
  id: string;
  /** Absolute path of the OCI runtime. */
  runtime: string;
  /** Absolute path of the native helper. */
  native: string;
  terminal: boolean;
  /** Absolute path of the CRI log; undefined: output is discarded. */
  logPath: string | undefined;
  stdin: boolean;
  /** Whether the end of the first attachment closes the container's input. */
  inputOnce: boolean;
}

/**
 * conmon's argument vector; each option is in conmon 2.1.6 (Debian 12) and 2.1.12 (Debian 13).
 * conmon cuts log lines into parts of at most 8192 bytes, its buffer; no option changes that.
 * @throws CriError INVALID_ARGUMENT for a log path that conmon would not take whole.
 */
export function conmonArguments(paths: RunnerPaths, request: MonitorRequest): string[] {
  const { id, terminal, stdin } = request;
  const flags: string[] = [];
  if (terminal) flags.push('--terminal');
  if (stdin) flags.push('--stdin');
  if (stdin && !request.inputOnce) flags.push('--leave-stdin-open');
  return [
    ...['--api-version', '1'],
    ...['--cid', id, '--cuuid', id, '--name', id],
    // conmon gives the runtime the node's null device, which it would give to the container's user; `enter` replaces it.
    ...['--runtime', request.native, '--runtime-arg', 'enter', '--runtime-arg', request.runtime],
    ...['--runtime-arg', `--root=${paths.runtimeRoot}`],
    ...['--runtime-arg', `--log=${paths.runtimeLog(id)}`, '--runtime-arg', '--log-format=json'],
    ...['--bundle', paths.bundle(id)],
    ...['--container-pidfile', paths.containerPid(id)],
    ...['--conmon-pidfile', paths.monitorPid(id)],
    ...['--exit-dir', paths.exits],
    '--full-attach', // the attach socket lies in the bundle instead of behind a link that would outlive conmon
    ...['--log-path', logDestination(request.logPath)],
    ...flags,
  ];
}

function logDestination(logPath: string | undefined): string {
  if (logPath === undefined) return 'none';
  if (!logPath.startsWith('/') || /[:\n\0]/.test(logPath)) {
    throw invalidArgument('log_path', 'must be an absolute path without ":" and line breaks, which conmon cannot take');
  }
  return `k8s-file:${logPath}`;
}
