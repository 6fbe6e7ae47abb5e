import { forbidden } from '../http/api-error.ts';
import { parsePropertyString } from '../api/params/property-string.ts';
import type { Identity } from '../state/access.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import { checkStorage, sourceOf } from './disks.ts';
import type { Kind } from '../config/kind.ts';

/** A change of a guest's configuration by somebody. */
export interface Change {
  readonly who: Identity;
  readonly node: string;
  readonly kind: Kind;
  readonly vmid: number;
  /** Values to set by key. */
  readonly set: Readonly<Record<string, string | number>>;
  readonly remove: readonly string[];
  readonly privileged: boolean;
  /** The pool of a guest that is being created. */
  readonly pool?: string | undefined;
}

const only = (what: string): Error => forbidden(`${what} only allowed for root@pam`);

const lxcClasses: [RegExp, string][] = [
  [/^(?:cores|cpuunits|cpulimit)$/, 'VM.Config.CPU'],
  [/^(?:rootfs|mp\d+|unused\d+)$/, 'VM.Config.Disk'],
  [/^(?:memory|swap)$/, 'VM.Config.Memory'],
  [/^(?:net\d+|nameserver|searchdomain|hostname)$/, 'VM.Config.Network'],
];

const qemuClasses: [RegExp, string][] = [
  [/^(?:cores|cpu|cpulimit|cpuunits|numa|smp|sockets|vcpus)$/, 'VM.Config.CPU'],
  [/^(?:memory|balloon|shares)$/, 'VM.Config.Memory'],
  [/^net\d+$/, 'VM.Config.Network'],
  [
    /^(?:cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+)$/,
    'VM.Config.Cloudinit',
  ],
  [/^(?:ide|sata|scsi|virtio|unused)\d+$|^(?:efidisk0|tpmstate0|vmstatestorage|scsihw)$/, 'VM.Config.Disk'],
  [
    /^(?:acpi|audio0|bios|hugepages|keephugepages|kvm|machine|rng0|serial\d+|tablet|vga|watchdog|ivshmem|usb\d+|hostpci\d+|virtiofs\d+)$/,
    'VM.Config.HWType',
  ],
  [
    /^(?:agent|autostart|boot|bootdisk|description|freeze|hotplug|keyboard|localtime|migrate_\w+|name|onboot|ostype|protection|reboot|smbios1|spice_enhancements|startdate|startup|tags|tdf|template|vmgenid|allow-ksm)$/,
    'VM.Config.Options',
  ],
];

function need(state: ClusterState, change: Change, privilege: string): void {
  const { who, vmid, pool } = change;
  if (pool !== undefined && state.access.allows(who, `/pool/${pool}`, [privilege])) return;
  state.access.require(who, `/vms/${vmid}`, [privilege]);
}

/** The pool of a guest that is being created does not count (PVE::GuestHelpers::assert_tag_permissions). */
function needForTags(state: ClusterState, { who, vmid }: Change): void {
  state.access.require(who, `/vms/${vmid}`, ['VM.Config.Options']);
}

function checkNetwork(state: ClusterState, { who, kind }: Change, value: string): void {
  const { bridge, tag } = parsePropertyString(kind.networkFormat, value);
  if (bridge === undefined) return;
  const zone = state.store.vnets[bridge]?.['zone'] ?? 'localnetwork';
  state.access.require(who, `/sdn/zones/${zone}/${bridge}${tag === undefined ? '' : `/${tag}`}`, ['SDN.Use']);
}

function checkDisk(state: ClusterState, change: Change, key: string, value: string): void {
  const { who, node, kind, vmid } = change;
  const source = sourceOf(kind, parsePropertyString(kind.volumeFormat(key), value));
  if (source.kind === 'bind' || source.kind === 'device') throw only(`mount point type ${source.kind} is`);
  if (source.kind === 'new') {
    checkStorage(state, node, kind, source.storage);
    state.access.require(who, `/storage/${source.storage}`, ['Datastore.AllocateSpace']);
  }
  const owner = source.kind === 'volume' ? state.volumes.owner(source.volid) : undefined;
  if (source.kind === 'volume' && owner !== vmid) {
    if (!state.access.allows(who, `/storage/${source.storage}`, ['Datastore.Allocate'])) {
      state.access.require(who, `/storage/${source.storage}`, ['Datastore.Audit']);
      state.access.require(who, `/vms/${owner ?? ''}`, ['VM.Config.Disk']);
    }
  }
}

function checkContainerKey(state: ClusterState, change: Change, key: string): void {
  const value = change.set[key];
  if (/^dev\d+$/.test(key)) throw only('configuring device passthrough is');
  if (key === 'hookscript') throw only('changing the hookscript is');
  if (key === 'features') {
    if (change.privileged || value === undefined) throw only('changing feature flags for privileged container is');
    const names = String(value)
      .split(',')
      .map((feature) => feature.split('=')[0]!);
    if (names.some((name) => name !== 'nesting')) throw only('changing feature flags (except nesting) is');
    need(state, change, 'VM.Allocate');
    return;
  }
  if (key === 'tags') {
    needForTags(state, change);
    return;
  }
  need(state, change, lxcClasses.find(([keys]) => keys.test(key))?.[1] ?? 'VM.Config.Options');
  if (value === undefined) return;
  if (/^net\d+$/.test(key)) checkNetwork(state, change, String(value));
  if (change.kind.isVolume(key)) checkDisk(state, change, key, String(value));
}

function checkMachineKey(state: ClusterState, change: Change, key: string): void {
  const value = change.set[key];
  if (key === 'tags') {
    needForTags(state, change);
    return;
  }
  const privilege = qemuClasses.find(([keys]) => keys.test(key))?.[1];
  if (privilege === undefined) throw forbidden(`only root can set '${key}' config`);
  if (/^serial\d+$/.test(key) && value !== undefined && value !== 'socket')
    throw forbidden(`only root can set '${key}' config for real devices`);
  need(state, change, privilege);
  if (value === undefined) return;
  if (/^net\d+$/.test(key)) checkNetwork(state, change, String(value));
  if (change.kind.isVolume(key)) checkDisk(state, change, key, String(value));
}

/**
 * Checks that somebody may change these keys. root@pam may everything; its tokens may not.
 * @throws ApiError 403
 */
export function checkModify(state: ClusterState, change: Change): void {
  const { who, kind, set, remove } = change;
  if (who.user === 'root@pam' && who.token === undefined) return;
  for (const key of [...Object.keys(set), ...remove]) {
    if (kind.type === 'lxc') checkContainerKey(state, change, key);
    else checkMachineKey(state, change, key);
  }
}
