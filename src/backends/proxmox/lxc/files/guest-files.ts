import type { SandboxSpec } from '../../../../core/model/sandbox-provider.ts';

/** The lines of the guest's configuration that the API sets for nobody, for root@pam alone, or for more privileges. */
export function configLines(
  { userNamespace }: Pick<SandboxSpec, 'userNamespace'>,
  directory: string,
  { tags, hookscript }: { tags: string; hookscript: string | undefined },
): string {
  const ids = userNamespace && ['u', 'g'].map((kind) => `${kind} 0 ${userNamespace.hostId} ${userNamespace.size}`);
  return [
    // For tags at its creation Proxmox wants VM.Config.Options on all guests, whatever the pool.
    `tags: ${tags}`,
    // Proxmox refuses to migrate a guest with a directory of the node, before it shuts it down.
    `mp0: ${boundOf(directory)},mp=/run/proxmox-lxcri,ro=1`,
    ...(hookscript === undefined ? [] : [`hookscript: ${hookscript}`]),
    ...(ids ?? []).map((range) => `lxc.idmap: ${range}`),
    includeLine(directory),
    '',
  ].join('\n');
}

export function boundOf(directory: string): string {
  return `${directory}/bound`;
}

/** By it a guest is known as a pod's, too. */
export function includeLine(directory: string): string {
  return `lxc.include: ${includeOf(directory)}`;
}

export function includeOf(directory: string): string {
  return `${directory}/include.conf`;
}

/** The file that allows one start; see src/native/hook.c. */
export function permitOf(directory: string): string {
  return `${directory}/permit`;
}
