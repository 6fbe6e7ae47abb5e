import type { SimulatedCluster } from '../cluster.ts';
import { lxc } from '../config/kind.ts';
import { without } from '../state/without.ts';
import type { Exchange } from './transcript.ts';

type Values = Record<string, string | number>;

/** What the node had when a transcript began, beside what the transcript itself tells. */
export interface Presumption {
  /** Guests by VMID, with the values that differ from a plain container. */
  readonly guests?: Readonly<Record<number, Values>>;
  /** Guests that run. */
  readonly running?: readonly number[];
  /** Guests that do not end when asked to. */
  readonly deaf?: readonly number[];
  /** Guests that are not there, though the transcript names them. */
  readonly absent?: readonly number[];
  /** Volumes beside those of the guests, with their bytes. */
  readonly volumes?: Readonly<Record<string, number>>;
  /** Volumes that guests name and that are not there. */
  readonly lost?: readonly string[];
  readonly bridges?: readonly string[];
  /** Whether the storage `btr` is there. */
  readonly btrfs?: true;
  readonly pools?: Readonly<Record<string, { comment?: string; vms: number[]; storage: string[] }>>;
  /** What the user cri@pve has: nothing of itself, no entry, or role, ACL and token. */
  readonly user?: 'absent' | 'plain' | 'pool' | 'role' | 'granted';
  /** What another writer does before an exchange: of that number, or whose request, or remark before it, matches. */
  readonly before?: readonly (readonly [RegExp | number, (replay: Disturbance) => Promise<void> | void])[];
}

/** What a presumption may do between exchanges. */
export interface Disturbance {
  readonly cluster: SimulatedCluster;
  /** Sends a request as root@pam; the answer is not looked at. */
  readonly send: (verb: string, path: string, form?: string) => Promise<void>;
}

const entrypoint = `/bin/sh -c 'trap "exit 0" PWR TERM; while :; do sleep 1; done'`;
const deafEntrypoint = "/bin/sh -c 'trap : PWR TERM; while :; do sleep 1; done'";

function onBtrfs(vmid: number): Values {
  return { rootfs: `btr:${vmid}/subvol-${vmid}-disk-0.subvol,size=0T` };
}

function raw(vmid: number, size: string): Values {
  return { rootfs: `local:${vmid}/vm-${vmid}-disk-0.raw,size=${size}`, memory: 64, swap: 0 };
}

/** Guests that stood on the node while most transcripts of the second run were made. */
const standing: Record<number, Values> = {
  401: { hostname: 'web-1', memory: 64, swap: 0, tags: 'alpha;k8s.io_x-1;zeta' },
  402: { rootfs: 'local:402/vm-402-disk-0.raw,size=4G', unprivileged: 1, lock: 'backup' },
  410: { hostname: '', memory: 64, swap: 16, cpuunits: 50, template: 1, entrypoint },
  412: { memory: 77, swap: 6, entrypoint },
  420: { ...onBtrfs(420), memory: 100, swap: 0, entrypoint },
  421: { ...onBtrfs(421), hostname: 'r421', memory: 128, swap: 64, tags: 'run', entrypoint: deafEntrypoint },
  430: { ...raw(430, '64M'), memory: 128 },
};

function stood(...vmids: number[]): Record<number, Values> {
  return Object.fromEntries(vmids.map((vmid) => [vmid, standing[vmid]!]));
}

/** Sets or removes the lock of a guest in its file, as its owner does on the node. */
function lockBy(vmid: number, lock: string) {
  return ({ cluster }: Disturbance): void =>
    change(cluster, vmid, (text) => `${text.replace(/^lock: .*\n/m, '')}lock: ${lock}\n`);
}

function change(cluster: SimulatedCluster, vmid: number, edit: (text: string) => string): void {
  const ref = { node: 'pve1', kind: lxc, vmid };
  cluster.state.guests.write(ref, edit(cluster.state.guests.read(ref) ?? ''));
}

const holdTemplates = ({ cluster }: Disturbance): void =>
  void cluster.state.faults.add({ effect: { kind: 'task-hold' }, match: { type: 'vztemplate' }, times: 0 });

async function releaseTemplates({ cluster }: Disturbance): Promise<void> {
  const held = cluster.state.tasks.all().filter(({ type, exit }) => type === 'vztemplate' && exit === undefined);
  cluster.state.faults.release();
  await Promise.all(held.map(({ upid }) => cluster.state.tasks.ended(upid)));
}

const k8s = { comment: 'a pool: ünïcode, "quotes"', vms: [401], storage: [] };
const pools = { k8s, 'k8s/sub': { vms: [], storage: [] } };

/** By file; what is not here presumes plain containers, stopped, under the VMIDs that it names. */
export const presumptions: Readonly<Record<string, Presumption>> = {
  'access-ticket.txt': { user: 'absent', guests: stood(410) },
  'changed-on-disk.txt': {
    guests: { 412: { memory: 77, swap: 512, entrypoint } },
    absent: [413],
    before: [
      [
        /another writer appended/,
        ({ cluster }) => change(cluster, 412, (text) => `${text}cores: abc\nnonsense\nlxc.unknown\n`),
      ],
      [/empty conf file/, ({ cluster }) => change(cluster, 413, () => '')],
    ],
  },
  'clone.txt': { guests: { 201: { template: 1 } } },
  'clone-template.txt': {
    guests: {
      ...stood(401, 402, 410, 412, 420, 421, 430),
      480: raw(480, '64M'),
      481: { ...onBtrfs(481), memory: 64, swap: 0 },
    },
    absent: [490, 491, 492, 493, 494, 495, 496, 999],
    btrfs: true,
    pools,
    before: [
      [/^GET \/nodes\/pve1\/lxc\/480\/config/, holdTemplates],
      [/content\?vmid=480|481\/clone -d newid=495/, releaseTemplates],
    ],
  },
  'cluster.txt': {
    guests: stood(401, 402, 410, 412, 420, 421),
    btrfs: true,
    pools,
    before: [
      [
        18,
        ({ cluster }) => {
          for (const vmid of [5000, 5001, 5002]) cluster.state.guests.write({ node: 'pve1', kind: lxc, vmid }, '');
        },
      ],
    ],
  },
  'cluster-resources.txt': { guests: { 201: {}, 202: {}, 203: {}, 204: {}, 205: {}, 206: {} } },
  'create-duplicate.txt': {
    absent: [410, 411],
    before: [
      [
        12,
        async ({ send }) => {
          const changes = ['memory=65', 'swap=7'];
          await Promise.all(changes.map((form) => send('PUT', '/nodes/pve1/lxc/411/config', form)));
        },
      ],
    ],
  },
  'create-pool-tags.txt': { absent: [401, 402], pools: { k8s: { ...k8s, vms: [] }, 'k8s/sub': pools['k8s/sub'] } },
  'delete.txt': {
    guests: {
      ...stood(401),
      450: raw(450, '64M'),
      451: raw(451, '64M'),
      452: raw(452, '64M'),
      453: raw(453, '64M'),
      454: { hostname: '', memory: '', swap: '', rootfs: 'nostore:454/x.raw' },
      493: raw(493, '64M'),
    },
    running: [451],
    volumes: { 'local:450/vm-450-disk-7.raw': 67_108_864, 'local:452/vm-452-disk-7.raw': 67_108_864 },
    lost: ['local:453/vm-453-disk-0.raw'],
    pools: { k8s: { comment: 'new', vms: [401, 493], storage: ['local', 'none'] }, 'k8s/sub': pools['k8s/sub'] },
    user: 'pool',
  },
  'digest.txt': { guests: { 410: { memory: 64, swap: 512, entrypoint } } },
  'login-ok.txt': { user: 'plain' },
  'lxc-delete-running.txt': { running: [100] },
  'lxc-interfaces.txt': {
    guests: {
      101: {
        net0: 'name=eth0,bridge=br9,gw=10.88.0.1,host-managed=1,hwaddr=BC:24:11:CF:67:F8,ip=10.88.0.5/24,type=veth',
      },
    },
    running: [101],
  },
  'lxc-list-stopped.txt': {
    guests: {
      ...stood(401),
      402: { rootfs: 'local:402/vm-402-disk-0.raw,size=4G', unprivileged: 1 },
      410: { memory: 64, swap: 512, entrypoint },
      411: { memory: 65, swap: 7 },
    },
    absent: [999],
  },
  'lxc-pending-none.txt': { absent: [100] },
  'lxc-start-again.txt': { running: [100] },
  'lxc-status.txt': { guests: { 100: { hostname: 'ct1', memory: 64 } } },
  'lxc-stop.txt': { running: [101] },
  'locked.txt': {
    guests: stood(401, 402, 410),
    absent: [412, 413],
    before: [
      [/^FILE .*412/, lockBy(412, 'backup')],
      [/^lock: mounted/, lockBy(412, 'mounted')],
      [/^lock: create/, lockBy(412, 'create')],
      [/^lock: snapshot-delete/, lockBy(412, 'snapshot-delete')],
    ],
  },
  'pending-running.txt': { absent: [460], btrfs: true },
  'permissions.txt': { guests: stood(401, 402, 410, 412, 420, 421), btrfs: true, pools, user: 'plain', absent: [450] },
  'pools2.txt': {
    guests: { ...stood(401, 410, 412), 493: raw(493, '64M') },
    absent: [999],
    pools: { k8s: { ...k8s, vms: [401, 493], storage: ['local', 'none'] }, 'k8s/sub': pools['k8s/sub'] },
  },
  'resize.txt': {
    guests: { 410: { memory: 64 }, 470: raw(470, '64M') },
    lost: ['local:410/subvol-410-disk-0.subvol'],
  },
  'protection.txt': { guests: { 411: { memory: 65, swap: 7 } } },
  'role.txt': { user: 'plain' },
  'running.txt': {
    guests: {
      ...stood(401, 402, 410, 412, 420),
      421: { ...onBtrfs(421), hostname: 'r421', memory: 64, swap: 0, entrypoint: deafEntrypoint },
    },
    running: [420],
    absent: [499],
    btrfs: true,
  },
  'snaps.txt': { running: [201] },
  'snapshot.txt': {
    guests: { ...stood(410), 420: { ...onBtrfs(420), memory: 64, swap: 0, entrypoint } },
    absent: [999],
    btrfs: true,
  },
  'start-nonexistent.txt': { absent: [999] },
  'storage-content.txt': { guests: stood(401, 402, 410, 412), volumes: {} },
  'task-stop.txt': { running: [421], deaf: [421], btrfs: true },
  'template-by-put.txt': { absent: [461] },
  'tok-lxc.txt': {
    guests: {
      100: { hostname: 'ct1', memory: 64 },
      101: { hostname: 'ct101', memory: 64, swap: 0 },
      102: { hostname: 'ct102', memory: 64, swap: 0 },
    },
    user: 'granted',
  },
  'tok-net.txt': { bridges: ['vmbr0', 'vmbr1', 'br9'], user: 'granted' },
  'token.txt': { user: 'role' },
  'upload.txt': { btrfs: true },
  'user.txt': { user: 'absent' },
};

function textOf(vmid: number, values: Values): string {
  const plain: Values = {
    arch: 'amd64',
    hostname: `CT${vmid}`,
    memory: 512,
    ostype: 'unmanaged',
    rootfs: `local:${vmid}/subvol-${vmid}-disk-0.subvol,size=0T`,
    swap: 512,
    ...values,
  };
  return Object.keys(plain)
    .sort()
    .filter((key) => plain[key] !== '')
    .map((key) => `${key}: ${plain[key]!}\n`)
    .join('');
}

/** A configuration that an answer of GET config shows, as the file has it. */
function textOfAnswer(data: Record<string, unknown>): string {
  const { description, lxc: rawKeys, env, ...values } = without(data, 'digest');
  const comments =
    typeof description === 'string'
      ? description
          .replace(/\n$/, '')
          .split('\n')
          .map((line) => `#${encodeURI(line).replace(/:/g, '%3A')}\n`)
      : [];
  const keys = Object.keys(values)
    .sort()
    .map((key) => `${key}: ${String(values[key])}\n`);
  const variables =
    typeof env === 'string' ? env.split('\0').map((variable) => `lxc.environment.runtime: ${variable}\n`) : [];
  const rest = ((rawKeys ?? []) as [string, string][]).map(([key, value]) => `${key}: ${value}\n`);
  return [...comments, ...keys, ...variables, ...rest].join('');
}

/** What the transcript itself shows of a guest before anything changed it; undefined when it shows nothing. */
function shown(exchanges: readonly Exchange[], vmid: number): string | undefined {
  for (const { request, status, body } of exchanges) {
    if (request.startsWith(`FILE /etc/pve/lxc/${vmid}.conf`)) return undefined;
    if (new RegExp(`^(?:PUT|POST|DELETE) .*/lxc/${vmid}\\b(?!/status/)`).test(request)) return undefined;
    if (status !== 200 || !new RegExp(`GET /nodes/pve1/lxc/${vmid}/(?:config|pending)(?:\\?current=1)?$`).test(request))
      continue;
    const { data } = JSON.parse(body) as { data: unknown };
    if (!Array.isArray(data)) return textOfAnswer(data as Record<string, unknown>);
    return textOfAnswer(
      Object.fromEntries((data as { key: string; value: unknown }[]).map(({ key, value }) => [key, value])),
    );
  }
  return undefined;
}

async function addVolume({ state }: SimulatedCluster, volid: string, bytes: number): Promise<void> {
  const [, storage = '', vmid = '', name = ''] = /^([^:]+):(\d+)\/(.+)$/.exec(volid) ?? [];
  if (state.store.storages[storage] === undefined || (await state.volumes.exists(volid))) return;
  const format = name.endsWith('.subvol') ? 'subvol' : 'raw';
  await state.volumes.allocate(storage, { vmid: Number(vmid), name, format, size: bytes });
}

const sizes: Record<string, number> = { '64M': 67_108_864, '4G': 4_294_967_296 };

async function addGuest(cluster: SimulatedCluster, vmid: number, text: string): Promise<void> {
  cluster.state.guests.write({ node: 'pve1', kind: lxc, vmid }, text);
  const [, volid = '', size = ''] = /^rootfs: ([^,\n]+)(?:,size=(\w+))?/m.exec(text) ?? [];
  await addVolume(cluster, volid, sizes[size] ?? 0);
}

/** Brings a fresh cluster into the state that a transcript presumes. */
export async function presume(cluster: SimulatedCluster, exchanges: readonly Exchange[]): Promise<void> {
  const presumption = presumptions[exchanges[0]!.file] ?? {};
  const { state } = cluster;
  if (presumption.btrfs === true) {
    state.store.storages['btr'] = { type: 'btrfs', path: '/var/lib/btr', content: ['rootdir', 'images'], options: {} };
    state.volumes.prepare('btr');
  }
  if (presumption.bridges !== undefined) state.store.bridges = [...presumption.bridges];
  for (const [name, pool] of Object.entries(presumption.pools ?? {})) {
    state.store.pools[name] = { ...pool, vms: [...pool.vms], storage: [...pool.storage] };
  }
  const named = exchanges.flatMap(({ request }) =>
    [...request.matchAll(/\/lxc\/([1-9]\d{2,})\b/g)].map((match) => Number(match[1])),
  );
  const given = presumption.guests ?? {};
  const vmids = new Set([...Object.keys(given).map(Number), ...named]);
  for (const vmid of vmids) {
    if (presumption.absent?.includes(vmid) === true) continue;
    const explicit = given[vmid];
    await addGuest(
      cluster,
      vmid,
      explicit === undefined ? (shown(exchanges, vmid) ?? textOf(vmid, {})) : textOf(vmid, explicit),
    );
  }
  for (const [volid, bytes] of Object.entries(presumption.volumes ?? {})) await addVolume(cluster, volid, bytes);
  for (const volid of presumption.lost ?? []) await state.volumes.free(volid);
  for (const vmid of presumption.running ?? [])
    await state.runtime.start({ node: 'pve1', kind: lxc, vmid }, undefined as never, () => undefined);
  for (const vmid of presumption.deaf ?? []) state.runtime.ignoreShutdown(vmid, true);
}
