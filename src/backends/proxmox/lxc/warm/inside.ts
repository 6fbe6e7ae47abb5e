import { CriError, StatusCode, invalidArgument } from '../../../../core/model/errors.ts';
import type { SandboxSpec } from '../../../../core/model/sandbox-provider.ts';
import { sysctlPath } from '../../../../core/model/sysctl.ts';
import { requestPrograms } from '../../../../host/processes/request-programs.ts';

/** Pairs of a path below /proc/sys and a value, each written at once: the kernel takes no parameter in parts. */
const SCRIPT =
  'while [ $# -gt 0 ]; do printf %s "$2" >"/proc/sys/$1" || { echo "/proc/sys/$1 = $2" >&2; exit 1; }; shift 2; done';
const LIMIT_MS = 30_000;

/**
 * Sets hostname and kernel parameters in the namespaces of a running guest, from outside: /proc/sys shows those of the process
 * that opens it. The spec has passed `checkSandboxSpec`.
 * @throws CriError INVALID_ARGUMENT for a parameter that the kernel refuses.
 */
export async function setInside(
  init: number,
  { hostname, sysctls }: Pick<SandboxSpec, 'hostname' | 'sysctls'>,
  signal?: AbortSignal,
): Promise<void> {
  const values = Object.entries(sysctls).flatMap(([name, value]) => [sysctlPath(name), value]);
  if (hostname !== '') values.push('kernel/hostname', hostname);
  if (values.length === 0) return;
  const namespaces = ['uts', 'ipc', 'net'].map((name) => `/proc/${String(init)}/ns/${name}`);
  const [result] = await requestPrograms(
    [
      {
        do: 'spawn',
        argv: ['/bin/sh', '-c', SCRIPT, 'sh', ...values],
        env: {},
        cwd: '/',
        descriptors: { 2: { kind: 'capture', limit: 1000 } },
        namespaces,
        limitMs: LIMIT_MS,
      },
    ],
    signal,
  );
  signal?.throwIfAborted();
  if (result?.status === 'done' && result.exit?.code === 0) return;
  const said = result?.outputs.get(2)?.bytes.toString('utf8').trim() ?? '';
  if (said.includes('/proc/sys/')) throw invalidArgument('linux.sysctls', `the kernel refuses ${said}`);
  const reason = result?.problem || said || result?.status;
  throw new CriError(StatusCode.INTERNAL, `cannot set up the namespaces of the guest: ${String(reason)}`);
}
