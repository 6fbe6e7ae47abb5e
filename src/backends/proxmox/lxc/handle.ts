import type { ProxmoxTask } from '../../proxmox-node.ts';
import type { SandboxHandle } from '../../../core/model/sandbox-provider.ts';

/** The durable handle of a pod whose sandbox is a guest. */
export interface GuestHandle {
  /** Absolute path of the directory with the files that the guest's configuration names. */
  directory: string;
  vmid?: number;
  /** The id that the guest was started with, ahead of the pod. */
  warm?: string;
  /** The task that makes the guest. */
  task?: ProxmoxTask;
}

/** The handle of a record; one that is absent or of another handler has the directory alone. */
export function guestHandle(handle: SandboxHandle | undefined, directory: string): GuestHandle {
  const { directory: stored, vmid, warm, task } = handle ?? {};
  return {
    directory: typeof stored === 'string' ? stored : directory,
    ...(typeof vmid === 'number' && { vmid }),
    ...(typeof warm === 'string' && { warm }),
    ...(typeof task === 'object' && { task: task as ProxmoxTask }),
  };
}
