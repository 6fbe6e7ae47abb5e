import { invalidArgument } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';

/**
 * The error of a start as the caller of RunPodSandbox can act on it: INVALID_ARGUMENT for a kernel parameter that the kernel
 * refused, as liblxc has written it to the task's log; every other one as it is.
 */
export function startFailure(error: unknown): unknown {
  const refused = /Failed to setup (sysctl parameters [^|]+?) *(?:\||$)/.exec(messageOf(error))?.[1];
  return refused === undefined ? error : invalidArgument('linux.sysctls', `the kernel refuses ${refused}`);
}
