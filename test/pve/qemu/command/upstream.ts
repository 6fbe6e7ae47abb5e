/** What the machine has in place of Proxmox's QEMU and kernel. */
export interface Substitutes {
  readonly kvm: boolean;
  readonly ioUring: boolean;
}

/** Settings of `-machine` without Proxmox's revision of the type, which its own QEMU alone knows. */
function machineSettings(value: string): string {
  return value.replace(/(^|,)type=([^,]+)\+pve\d+/, '$1type=$2');
}

/** The option's value as Debian's QEMU on this machine takes it. */
function adapted(option: string, value: string, { kvm, ioUring }: Substitutes): string {
  if (option === '-machine') return machineSettings(value);
  // The image is part of Proxmox's package.
  if (option === '-boot') return value.replace(/,splash=[^,]*/, '');
  if (option === '-cpu' && !kvm) return value.replace(/^host(?=,|$)/, 'max');
  if (option === '-device' && !kvm) return value.replace(/^host(?=-x86_64-cpu,)/, 'max');
  if (ioUring) return value;
  if (option === '-drive') return value.replace(',aio=io_uring', ',aio=threads');
  return option === '-blockdev' ? value.replaceAll('"aio":"io_uring"', '"aio":"threads"') : value;
}

/**
 * A command line of Proxmox as Debian's QEMU takes it. Each deviation is one of necessity:
 * - `-id` and revisions of machine types are additions of Proxmox to QEMU;
 * - the image for the screen of the firmware, KVM and io_uring may not be there.
 */
export function forUpstream(command: readonly string[], substitutes: Substitutes): string[] {
  const result: string[] = [];
  for (let index = 0; index < command.length; index += 1) {
    const word = command[index]!;
    if (word === '-id') index += 1;
    else result.push(adapted(command[index - 1] ?? '', word, substitutes));
  }
  return result;
}
