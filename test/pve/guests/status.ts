import { resourceOf } from '../ha/resource.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { GuestConfig } from '../config/config-text.ts';
import { loadGuest } from '../config/guest.ts';
import { parsePropertyString } from '../api/params/property-string.ts';
import { parseSize } from '../config/sizes.ts';

const mebibyte = 1024 * 1024;
const pressures = ['cpu', 'io', 'memory'].flatMap((name) => [`pressure${name}some`, `pressure${name}full`]);

/** CPUs of every node. */
export const hostCpus = 2;

/** The size that a guest's main disk has by its configuration, in bytes; 4 GiB where it says none. */
function diskSize({ kind }: GuestRef, { current: { values } }: GuestConfig): number {
  const key =
    kind.type === 'lxc'
      ? 'rootfs'
      : Object.keys(values)
          .sort()
          .find((name) => kind.isVolume(name));
  const size = /(?:^|,)size=([^,]+)/.exec(values[key ?? ''] ?? '')?.[1];
  const bytes = size === undefined ? 0 : parseSize(size);
  return bytes === 0 && kind.type === 'lxc' ? 4 * 1024 ** 3 : bytes;
}

/** Memory of a guest in bytes: containers and machines without a value have 512 MiB. */
function memory({ kind }: GuestRef, { current: { values } }: GuestConfig): number {
  const text = values['memory'] ?? '512';
  const amount = kind.type === 'qemu' ? (/\d+/.exec(text)?.[0] ?? '512') : text;
  return Number(amount) * mebibyte;
}

function cpus({ kind }: GuestRef, { current: { values } }: GuestConfig): number {
  if (kind.type === 'qemu') return Number(values['cores'] ?? 1) * Number(values['sockets'] ?? 1);
  const limit = Math.ceil(Number(values['cpulimit'] ?? 0));
  const cores = Number(values['cores'] ?? 0);
  return limit > 0 ? Math.min(limit, cores || hostCpus) : cores || hostCpus;
}

/** The name of a guest, or what the node calls one without. */
export function guestName({ kind, vmid }: GuestRef, { current: { values } }: GuestConfig): string {
  return values[kind.nameKey] ?? (kind.type === 'lxc' ? `CT${vmid}` : `VM ${vmid}`);
}

/** The status of a guest as lists and `status/current` have it. */
export function statusOf(state: ClusterState, ref: GuestRef): Record<string, unknown> {
  const config = loadGuest(state, ref);
  const { values } = config.current;
  const running = state.runtime.running(ref);
  const container = ref.kind.type === 'lxc';
  const usage = running === undefined ? undefined : state.runtime.usage(ref, cpus(ref, config));
  return {
    vmid: ref.vmid,
    status: running === undefined ? 'stopped' : 'running',
    name: guestName(ref, config),
    ...(container ? { type: 'lxc', maxswap: Number(values['swap'] ?? 0) * mebibyte, swap: usage?.swap ?? 0 } : {}),
    cpus: cpus(ref, config),
    cpu: usage?.cpu ?? 0,
    mem: usage?.mem ?? 0,
    maxmem: memory(ref, config),
    ...(container ? { disk: usage?.disk ?? 0 } : {}),
    ...(!container && state.nine ? { memhost: usage?.mem ?? 0 } : {}),
    maxdisk: container && usage !== undefined ? usage.maxdisk : diskSize(ref, config),
    diskread: usage?.diskread ?? 0,
    diskwrite: usage?.diskwrite ?? 0,
    netin: usage?.netin ?? 0,
    netout: usage?.netout ?? 0,
    uptime: running === undefined ? 0 : Math.floor((Date.now() - running.since) / 1000),
    ...(running === undefined ? {} : { pid: running.pid }),
    ...(running !== undefined && state.nine
      ? Object.fromEntries(
          pressures.map((name) => [name, usage?.pressures === undefined ? '0.00' : usage.pressures[name]]),
        )
      : {}),
    ...(values['lock'] === undefined ? {} : { lock: values['lock'] }),
    ...(values['tags'] === undefined ? {} : { tags: values['tags'] }),
    ...(values['template'] === '1' ? { template: 1 } : {}),
  };
}

/** Whether HA manages the guest, as `status/current` says it. */
export function haOf(state: ClusterState, ref: GuestRef): Record<string, unknown> {
  const sid = resourceOf(ref);
  const resource = state.store.ha[sid];
  return resource === undefined ? { managed: 0 } : { managed: 1, sid, state: resource['state'] ?? 'started' };
}

/** The network interfaces of a running container, by its configuration where it is no process; null when it does not run. */
export async function interfacesOf(state: ClusterState, ref: GuestRef): Promise<Record<string, unknown>[] | null> {
  if (state.guests.read(ref) === undefined || state.runtime.running(ref) === undefined) return null;
  const found = await state.runtime.interfaces(ref);
  if (found !== undefined) return found;
  const { values } = loadGuest(state, ref).current;
  const cards = Object.keys(values)
    .filter((key) => /^net\d+$/.test(key))
    .map((key) => parsePropertyString(ref.kind.networkFormat, values[key]!));
  const up = cards.some((card) => card['host-managed'] === '1') || (values['ostype'] ?? 'unmanaged') !== 'unmanaged';
  return [
    describe('lo', '00:00:00:00:00:00', up ? ['127.0.0.1/8'] : [], up ? ['::1/128'] : []),
    ...cards.map((card) => {
      const hardware = (card['hwaddr'] ?? '').toLowerCase();
      return describe(card['name']!, hardware, cidrs(card['ip']), [...cidrs(card['ip6']), linkLocal(hardware)]);
    }),
  ];
}

function cidrs(address: string | undefined): string[] {
  return address?.includes('/') === true ? [address] : [];
}

function linkLocal(hardware: string): string {
  const bytes = hardware.split(':').map((byte) => parseInt(byte, 16));
  const eui = [bytes[0]! ^ 2, bytes[1]!, bytes[2]!, 0xff, 0xfe, bytes[3]!, bytes[4]!, bytes[5]!];
  const groups = [0, 2, 4, 6].map((index) => ((eui[index]! << 8) | eui[index + 1]!).toString(16));
  return `fe80::${groups.join(':')}/64`;
}

function describe(name: string, hardware: string, inet: string[], inet6: string[]): Record<string, unknown> {
  const address = (type: string) => (cidr: string) => {
    const [ip, prefix] = cidr.split('/');
    return { 'ip-address': ip, 'ip-address-type': type, prefix };
  };
  return {
    name,
    hwaddr: hardware,
    'hardware-address': hardware,
    'ip-addresses': [...inet.map(address('inet')), ...inet6.map(address('inet6'))],
    ...(inet[0] === undefined ? {} : { inet: inet[0] }),
    ...(inet6[0] === undefined ? {} : { inet6: inet6[0] }),
  };
}
