import { writeFile } from 'node:fs/promises';
import { CriError, StatusCode } from '../../../../core/model/errors.ts';
import type { SandboxSpec } from '../../../../core/model/sandbox-provider.ts';
import { createCgroup } from '../../../../host/cgroup/create.ts';
import { messageOf } from '../../../../utils/errors.ts';
import { pin } from '../../../../host/mounts/namespace-pin.ts';
import { networkPin } from '../../../sandbox-namespaces.ts';
import type { GuestCgroups } from '../guest-cgroups.ts';
import { setInside } from './inside.ts';
import { podCgroupFile, warmInit } from './warm-guest.ts';

/**
 * Makes a running guest that a pod has claimed the pod's sandbox: hostname, kernel parameters and cgroup. The move of its process
 * into the kubelet's cgroup comes last, so that a guest that is found there is complete.
 * @param directory the guest's own.
 * @throws CriError INVALID_ARGUMENT for a kernel parameter that the kernel refuses; the signal's reason.
 */
export async function furnish(
  spec: SandboxSpec,
  { vmid, directory, cgroups }: { vmid: number; directory: string; cgroups: GuestCgroups },
  signal?: AbortSignal,
): Promise<void> {
  const init = await warmInit(vmid);
  if (init === undefined) throw new CriError(StatusCode.INTERNAL, `CT ${String(vmid)} of the warm pool has ended`);
  await Promise.all([createCgroup(cgroups.monitor), createCgroup(`${cgroups.pod}/ns`)]);
  // From here on the end of the guest ends what is in the pod's cgroup.
  await writeFile(podCgroupFile(directory), cgroups.podDirectory, { mode: 0o600 });
  await setInside(init, spec, signal);
  await pin(`/proc/${String(init)}/ns/net`, networkPin(spec));
  signal?.throwIfAborted();
  try {
    await writeFile(`${cgroups.initDirectory}/cgroup.procs`, String(init));
  } catch (error) {
    throw new CriError(StatusCode.INTERNAL, `CT ${String(vmid)} of the warm pool has ended: ${messageOf(error)}`);
  }
}
