import type { ProxmoxTask } from '../../proxmox-node.ts';
import type { SandboxHandle } from '../../../core/model/sandbox-provider.ts';

/** The durable handle of a pod whose sandbox is a guest. */
export interface GuestHandle {
  /** Absolute path of the directory with the files that the guest's configuration names. */
  directory: string;
  vmid?: number;
  /** The task that makes the guest. */
  task?: ProxmoxTask;
}

/** The handle of a record; one that is absent or of another handler has the directory alone. */
export function guestHandle(handle: SandboxHandle | undefined, directory: string): GuestHandle {
  const { directory: stored, vmid, task } = handle ?? {};
  return {
    directory: typeof stored === 'string' ? stored : directory,
    ...(typeof vmid === 'number' && { vmid }),
    ...(typeof task === 'object' && { task: task as ProxmoxTask }),
  };
}
