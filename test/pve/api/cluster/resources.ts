import { loadGuest } from '../../config/guest.ts';
import { statusOf } from '../../guests/status.ts';
import { oneOf } from '../params/property.ts';
import type { GuestRef } from '../../state/guest-files.ts';
import type { Call, Method } from '../method.ts';
import { isUsable } from '../../state/store.ts';
import { without } from '../../state/without.ts';

/** One entry of the list of resources. */
export type Resource = Record<string, unknown>;

function guestResource({ state }: Call, ref: GuestRef): Resource {
  const pool = Object.entries(state.store.pools).find(([, { vms }]) => vms.includes(ref.vmid))?.[0];
  const { vmid } = ref;
  const known = {
    id: `${ref.kind.type}/${vmid}`,
    type: ref.kind.type,
    node: ref.node,
    ...(pool === undefined ? {} : { pool }),
  };
  const status = state.measured.guests.get(known.id);
  if (!state.statistics || status === undefined) {
    const { tags, lock } = loadGuest(state, ref).current.values;
    return {
      ...known,
      vmid,
      status: 'unknown',
      ...(tags === undefined ? {} : { tags }),
      ...(lock === undefined ? {} : { lock }),
    };
  }
  const measured = Object.fromEntries(
    Object.entries(without(status, 'cpus', 'swap', 'maxswap', 'pid')).filter(([key]) => !key.startsWith('pressure')),
  );
  return {
    ...measured,
    ...known,
    disk: status['disk'] ?? 0,
    maxcpu: status['cpus'],
    template: loadGuest(state, ref).current.values['template'] === '1' ? 1 : 0,
  };
}

/** Measures the guests when the last time is 10 s ago, of a real node's. */
function measure({ state }: Call): void {
  if (Date.now() - state.measured.at < 10_000 * state.pace) return;
  const guests = state.guests.list().map((ref) => [`${ref.kind.type}/${ref.vmid}`, statusOf(state, ref)] as const);
  state.measured = { at: Date.now(), guests: new Map(guests) };
}

function guests(call: Call): Resource[] {
  const { state, who } = call;
  measure(call);
  return state.guests
    .list()
    .filter(({ vmid }) => state.access.allows(who, `/vms/${vmid}`, ['VM.Audit']))
    .map((ref) => guestResource(call, ref));
}

function nodes({ state }: Call): Resource[] {
  if (!state.statistics)
    return state.nodes.map((node) => ({ id: `node/${node}`, type: 'node', node, status: 'unknown' }));
  return state.nodes.map((node) => ({
    id: `node/${node}`,
    type: 'node',
    node,
    status: state.down.has(node) ? 'offline' : 'online',
    cpu: 0,
    maxcpu: 2,
    mem: 1_163_980_800,
    maxmem: 25_276_514_304,
    disk: 38_345_924_608,
    maxdisk: 270_553_174_016,
    uptime: Math.floor((Date.now() - state.booted) / 1000),
    level: '',
    'cgroup-mode': 2,
  }));
}

async function storages({ state, who }: Call): Promise<Resource[]> {
  const visible = Object.entries(state.store.storages).filter(([storage]) =>
    state.access.allows(who, `/storage/${storage}`, ['Datastore.Audit', 'Datastore.AllocateSpace'], true),
  );
  const resources: Resource[] = [];
  for (const [storage, config] of visible) {
    const nodes = state.nodes.filter((node) => isUsable(config, node));
    const room = state.statistics && nodes.length > 0 ? await state.volumes.space(storage) : undefined;
    for (const node of nodes) {
      resources.push({
        id: `storage/${node}/${storage}`,
        type: 'storage',
        storage,
        node,
        plugintype: config.type,
        content: config.content.join(','),
        shared: 0,
        ...(room === undefined ? { status: 'unknown' } : { status: 'available', disk: room.used, maxdisk: room.total }),
      });
    }
  }
  return resources;
}

function networks({ state, who }: Call): Resource[] {
  if (!state.access.allows(who, '/sdn/zones/localnetwork', ['SDN.Audit'])) return [];
  // Until 9 a zone is an "sdn"; since then it is a "network".
  return state.nodes.map((node) =>
    state.nine
      ? {
          id: `network/${node}/zone/localnetwork`,
          type: 'network',
          network: 'localnetwork',
          'network-type': 'zone',
          node,
          status: 'ok',
        }
      : { id: `sdn/${node}/localnetwork`, type: 'sdn', sdn: 'localnetwork', node, status: 'ok' },
  );
}

function pools({ state, who }: Call): Resource[] {
  return Object.keys(state.store.pools)
    .filter((pool) => state.access.allows(who, `/pool/${pool}`, ['Pool.Audit']))
    .map((pool) => ({ id: `/pool/${pool}`, type: 'pool', pool }));
}

/** Guests, nodes and storages as the list of resources has them, as far as the caller may see them. */
export async function resourcesOf(call: Call): Promise<Resource[]> {
  return [...guests(call), ...nodes(call), ...(await storages(call))];
}

const selections: Record<string, (call: Call) => Resource[] | Promise<Resource[]>> = {
  vm: guests,
  node: nodes,
  storage: storages,
  sdn: (call) => (call.state.nine ? [] : networks(call)),
};

/** The list of resources, as stale as what is measured every 10 s. */
export const resourceMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/cluster/resources',
    permission: 'all',
    parameters: { type: oneOf('vm', 'storage', 'node', 'sdn') },
    handle: async (call) => {
      const { type } = call.params;
      if (type !== undefined) return selections[String(type)]!(call);
      return [...pools(call), ...(await resourcesOf(call)), ...networks(call)];
    },
  },
];
