/** Containers and virtual machines, by the name of their room in the API. */
export type GuestKind = 'lxc' | 'qemu';

/** Where a guest is. A VMID is unique in a cluster, whatever the kind. */
export interface GuestRef {
  kind: GuestKind;
  node: string;
  vmid: number;
}

/** The path template of a guest of this kind, with `rest` behind it. */
export function guestTemplate(kind: GuestKind, rest = ''): string {
  return `/nodes/{node}/${kind}/{vmid}${rest}`;
}
