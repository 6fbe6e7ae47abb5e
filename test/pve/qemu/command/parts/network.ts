import { parsePropertyString } from '../../../api/params/property-string.ts';
import { card } from '../../../config/qemu-keys.ts';
import type { Draft } from '../draft.ts';

const SMALLEST_MTU = 576;

/** A network card of a configuration. */
export interface Card {
  readonly model: string;
  readonly address: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** The card that a value of `netN` says; `MODEL=ADDRESS` stands for both. */
export function parseCard(value: string): Card {
  const settings = parsePropertyString(card, value);
  const named = Object.entries(settings).find(([, text]) => /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(text));
  const address = settings['macaddr'] ?? named?.[1] ?? '';
  return { model: settings['model'] ?? named?.[0] ?? 'virtio', address, settings };
}

/** The node's end of a machine's network. */
export function tapName(vmid: number, number: number): string {
  return `tap${vmid}i${number}`;
}

/** The value of `-netdev`; one that is plugged into a running machine is connected by another script. */
export function netdev(draft: Draft, number: number, { model, settings }: Card, plugged = false): string {
  const { scripts, vhostNet } = draft.host;
  const script = plugged ? 'pve-bridge-hotplug' : 'pve-bridge';
  const queues = settings['queues'] !== undefined && settings['queues'] !== '0' && model === 'virtio';
  const back =
    settings['bridge'] === undefined
      ? `type=user,id=net${number},hostname=${draft.name}`
      : `type=tap,id=net${number},ifname=${tapName(draft.vmid, number)},script=${scripts}/${script}` +
        `,downscript=${scripts}/pve-bridgedown${vhostNet && model === 'virtio' ? ',vhost=on' : ''}`;
  return back + (queues ? `,queues=${settings['queues']}` : '');
}

function mtuPart(draft: Draft, number: number, { model, settings }: Card, warn: (line: string) => void): string {
  const { bridge, mtu } = settings;
  const recent = draft.host.release !== '8.4';
  if (model !== 'virtio' || bridge === undefined) {
    const why = bridge === undefined ? 'no bridge configured' : 'not using VirtIO';
    if (mtu !== undefined) warn(`netdev net${number}: ignoring MTU '${mtu}', ${why}`);
    return '';
  }
  if (mtu === undefined && !recent) return '';
  const own = draft.host.mtu(bridge);
  const wanted = mtu === undefined || mtu === '1' ? own : Number(mtu);
  if (wanted < SMALLEST_MTU)
    throw new Error(`netdev net${number}: MTU '${wanted}' is smaller than the IP minimum MTU '576'`);
  if (wanted > own) {
    throw new Error(
      `netdev net${number}: MTU '${wanted}' is bigger than the bridge MTU '${own}' - adjust the MTU for the network ` +
        'device in the VM configuration, while ensuring that the bridge is configured as desired.',
    );
  }
  return !recent || draft.machine.atLeast(10, 0, 1) || wanted !== 1500 ? `,host_mtu=${wanted}` : '';
}

function tunnelPart({ machine, host }: Draft, { model, settings }: Card): string {
  if (model !== 'virtio' || host.release === '8.4') return '';
  const { 'host-tunnel': wanted } = settings;
  const off = machine.atLeast(11, 0, 1) ? wanted !== '1' : machine.atLeast(10, 2) && wanted === '0';
  return off ? ',host_tunnel=off' : '';
}

/** The value of `-device` for a card. */
export function networkDevice(
  draft: Draft,
  number: number,
  card_: Card,
  bootIndex: number | undefined,
  warn: (line: string) => void,
): string {
  const { model, address, settings } = card_;
  const key = `net${number}`;
  const virtio = model === 'virtio';
  const queues = Number(settings['queues'] ?? 0);
  return [
    `${virtio ? 'virtio-net-pci' : model},mac=${address},netdev=${key}${draft.slots.place(key)},id=${key}`,
    virtio && queues > 1 ? `,vectors=${queues * 2 + 2},mq=on${draft.machine.atLeast(7, 1) ? ',packed=on' : ''}` : '',
    virtio && draft.machine.atLeast(7, 1) ? ',rx_queue_size=1024,tx_queue_size=256' : '',
    bootIndex === undefined ? '' : `,bootindex=${bootIndex}`,
    mtuPart(draft, number, card_, warn),
    tunnelPart(draft, card_),
  ].join('');
}

/** Adds the networks of the configuration. */
export function addNetworks(draft: Draft, order: ReadonlyMap<string, number>, warn: (line: string) => void): void {
  for (const number of draft.numbers('net')) {
    const found = parseCard(draft.values[`net${number}`]!);
    draft.device('-netdev', netdev(draft, number, found));
    // The presence of host_mtu is a property of the machine: both ends of a migration need to agree on it.
    if (draft.host.release !== '8.4') draft.machine.guard(10, 0, 1);
    draft.device('-device', networkDevice(draft, number, found, order.get(`net${number}`), warn));
  }
}
