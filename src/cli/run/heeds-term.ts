import { readFile } from 'node:fs/promises';
import { type ContainerStatusResponse, Signal } from '../../../api/gen/cri.ts';

const SIGTERM = 15;

/**
 * Whether SIGTERM can end a container's first process: without a handler it is immune (pid_namespaces(7)), and a grace
 * period is useless. True where this is unknown.
 */
export async function heedsTerm({ status, info }: ContainerStatusResponse): Promise<boolean> {
  if (status?.stopSignal !== Signal.SIGNAL_RUNTIME_DEFAULT && status?.stopSignal !== Signal.SIGNAL_SIGTERM) return true;
  try {
    const { pid = 0 } = JSON.parse(info['info'] ?? '{}') as { pid?: number };
    const process = await readFile(`/proc/${String(pid)}/status`, 'utf8');
    const first = /^NSpid:.*\t1$/m.test(process);
    const caught = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(process)?.[1] ?? ''}`);
    return !first || (caught & (1n << BigInt(SIGTERM - 1))) !== 0n;
  } catch {
    return true;
  }
}
