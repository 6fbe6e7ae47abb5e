import { type CriError, invalidArgument, unavailable } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';

/**
 * The error of a start as the caller of RunPodSandbox can act on it: INVALID_ARGUMENT for a kernel parameter that the kernel
 * refused, as liblxc has written it to the task's log; every other one as it is.
 */
export function startFailure(error: unknown): unknown {
  const refused = /Failed to setup (sysctl parameters [^|]+?) *(?:\||$)/.exec(messageOf(error))?.[1];
  return refused === undefined ? error : invalidArgument('linux.sysctls', `the kernel refuses ${refused}`);
}

/**
 * Whether a start may have done nothing at all: while the unit of the VMID's last guest is active, systemd has nothing to start,
 * and Proxmox then looks for a process that is not there. A guest that ends at once fails so, too.
 */
export function isSwallowed(error: unknown): boolean {
  return messageOf(error).includes('unable to get PID for CT');
}

/** The error of a start that cannot be repeated because units of an earlier guest do not end. */
export function stillCleaning(vmid: number, units: readonly string[], cause: unknown): CriError {
  const names = units.join(' and ');
  return unavailable(
    `CT ${String(vmid)} was not started: ${names} of its last guest has not ended; see journalctl -u ${names}`,
    cause,
  );
}
