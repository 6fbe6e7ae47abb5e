import { invalidArgument } from '../core/model/errors.ts';
import type { SandboxSpec } from '../core/model/sandbox-provider.ts';
import { isSysctlValue, sysctlName } from '../core/model/sysctl.ts';
import { checkCgroupPath } from '../host/cgroup/path.ts';
import { exists } from '../utils/fs/exists.ts';

/**
 * Checks every value of a spec that is written to a configuration file, a command line or a path.
 * @throws CriError INVALID_ARGUMENT naming CRI's field.
 */
export function checkSandboxSpec(spec: SandboxSpec): void {
  checkSandboxId(spec.id);
  checkCgroupPath(spec.cgroupParent, 'linux.cgroup_parent');
  if (spec.hostname.length > 64 || !/^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?$/.test(spec.hostname)) {
    throw invalidArgument(
      'hostname',
      `${JSON.stringify(spec.hostname)} is not an RFC 1123 name of at most 64 characters`,
    );
  }
  for (const [name, value] of Object.entries(spec.sysctls)) {
    if (sysctlName(name) !== name)
      throw invalidArgument('linux.sysctls', `${JSON.stringify(name)} is not a dotted kernel parameter name`);
    // A slash represents a dot, which only names of network devices have.
    if (name.includes('/')) {
      const problem = 'names a network device, but only lo exists when the parameters are set';
      throw invalidArgument('linux.sysctls', `${name} ${problem}; set it with the CNI plugin "tuning"`);
    }
    if (!isSysctlValue(value))
      throw invalidArgument('linux.sysctls', `the value of ${name} must be 1 to 4095 printable ASCII characters`);
  }
}

/** @throws CriError INVALID_ARGUMENT unless `id` is 64 lower-case hexadecimal digits. */
export function checkSandboxId(id: string): void {
  if (!isSandboxId(id)) throw invalidArgument('pod_sandbox_id', `${JSON.stringify(id)} is not 64 hexadecimal digits`);
}

/** Whether `name` is 64 lower-case hexadecimal digits. */
export function isSandboxId(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

/** The cgroups of a sandbox, siblings below the pod's parent, so that its monitors survive the pod. */
export function sandboxCgroups(spec: SandboxSpec): { pod: string; monitor: string } {
  const parent = checkCgroupPath(spec.cgroupParent, 'linux.cgroup_parent');
  const pod = `${parent === '/' ? '' : parent}/${spec.id}`;
  return { pod, monitor: `${pod}.monitor` };
}

/**
 * Why a sandbox has ended whose directory was removed; undefined when it exists. @throws Error when this is unknown.
 */
export async function missingDirectory({ runDir }: SandboxSpec): Promise<string | undefined> {
  return (await exists(runDir)) ? undefined : `its directory ${runDir} was removed`;
}
