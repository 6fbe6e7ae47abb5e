import { crun } from './crun/handler.ts';
import type { Handler } from './handler.ts';
import { lxc } from './lxc/handler.ts';
import { proxmoxLxc } from './proxmox/lxc/handler.ts';

/** The RuntimeClass handlers of this program; the first one is the default. */
export const handlers: readonly Handler[] = [lxc, crun, proxmoxLxc];
