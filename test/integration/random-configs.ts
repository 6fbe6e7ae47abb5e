import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { NamespaceMode, SecurityProfile_ProfileType } from '../../api/gen/cri.ts';
import type { ContainerConfig, PodSandboxConfig } from '../../api/gen/cri.ts';

export type Pod = NonNullable<Parameters<typeof PodSandboxConfig.create>[0]>;
export type Container = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;

/** Bits of the capabilities that the generator uses (capabilities(7)); the first fourteen are the default ones. */
export const CAPABILITIES: Readonly<Record<string, number>> = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  NET_BIND_SERVICE: 10,
  NET_RAW: 13,
  SYS_CHROOT: 18,
  MKNOD: 27,
  AUDIT_WRITE: 29,
  SETFCAP: 31,
  NET_ADMIN: 12,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
};
export const DEFAULT_CAPABILITIES = Object.keys(CAPABILITIES).slice(0, 14);

/** The bounding set of this process, as a mask. */
export const HOST_BOUNDING = BigInt(`0x${/^CapBnd:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!}`);
const available = Object.keys(CAPABILITIES).filter((name) => (HOST_BOUNDING >> BigInt(CAPABILITIES[name]!)) & 1n);

const { POD, CONTAINER, NODE } = NamespaceMode;

/** The requested properties of a pod and its container; all are valid. */
export interface Wish {
  handler: 'lxc' | 'crun';
  hostname: string;
  network: NamespaceMode;
  ipc: NamespaceMode;
  podPid: NamespaceMode;
  /** The first host id of the pod's user namespace; undefined: the node's user namespace. */
  hostId: number | undefined;
  ownPid: boolean;
  sysctl: boolean;
  searches: string[];
  user: { id?: number; name?: 'nobody' | 'root'; group?: number };
  groups: number[];
  add: string[];
  drop: string[];
  ambient: string[];
  noNewPrivs: boolean;
  privileged: boolean;
  readonlyRootfs: boolean;
  seccomp: SecurityProfile_ProfileType | undefined;
  masked: string[];
  readonly: string[];
  env: string[];
  cwd: string;
  tty: boolean;
  mounts: { path: string; readonly: boolean; recursive: boolean; propagation: 0 | 1 | 2 }[];
  cpuShares: number;
  cpuQuota: number;
  memoryMiB: number;
  oomScoreAdj: number;
  cpuset: string;
}

const few = <T>(...values: T[]) => fc.subarray(values);
const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);
const account = oneOf<'nobody' | 'root'>('nobody', 'root');
const id = fc.oneof(fc.integer({ min: 0, max: 70_000 }), oneOf(0, 65_534, 4_294_967_294));

const anyWish: fc.Arbitrary<Wish> = fc.record({
  handler: oneOf('lxc', 'crun'),
  hostname: oneOf('', 'web-1', 'a.b.example', 'X'.repeat(63)),
  network: oneOf(POD, POD, POD, NODE),
  ipc: oneOf(POD, POD, NODE),
  podPid: oneOf(POD, CONTAINER, CONTAINER, NODE),
  hostId: oneOf(undefined, undefined, undefined, 65_536, 2_000_000_000),
  ownPid: fc.boolean(),
  sysctl: fc.boolean(),
  searches: few('a.example', 'b.example'),
  user: fc.oneof(
    fc.constant({}),
    fc.record({ id }),
    fc.record({ id, group: id }),
    fc.record({ name: account }),
    fc.record({ name: account, group: id }),
  ),
  groups: fc.array(id, { maxLength: 4 }),
  add: fc.oneof(fc.subarray(available, { maxLength: 4 }), oneOf(['ALL'])),
  drop: fc.oneof(fc.subarray(available, { maxLength: 4 }), oneOf(['ALL'])),
  ambient: fc.oneof(fc.constant<string[]>([]), fc.subarray(available, { maxLength: 2 })),
  noNewPrivs: fc.boolean(),
  privileged: oneOf(false, false, false, false, true),
  readonlyRootfs: fc.boolean(),
  seccomp: oneOf(undefined, SecurityProfile_ProfileType.RuntimeDefault, SecurityProfile_ProfileType.Unconfined),
  masked: few('/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware', '/no/such/path'),
  readonly: few('/proc/sys', '/proc/bus', '/proc/irq', '/no/such/path'),
  env: few('one', 'two words', 'quote\'"$x', ''),
  cwd: oneOf('', '/', '/tmp', '/made/up'),
  tty: fc.boolean(),
  mounts: fc.uniqueArray(
    fc.record({
      path: oneOf('/data', '/tmp/deep/er', '/dev/shm', '/etc/hosts.d', '/var/x'),
      readonly: fc.boolean(),
      recursive: fc.boolean(),
      propagation: oneOf(0 as const, 1 as const, 2 as const),
    }),
    { selector: ({ path }) => path, maxLength: 3 },
  ),
  cpuShares: oneOf(0, 2, 512, 4096),
  cpuQuota: oneOf(0, -1, 50_000, 150_000),
  memoryMiB: oneOf(0, 0, 64, 300),
  oomScoreAdj: oneOf(0, 1, 500, 1000, -500, -1000),
  cpuset: oneOf('', '', '0'),
});

/** How many ids a pod's user namespace has. */
const IDS = 65_536;

export const wishes = anyWish.map(possible);

/** A user namespace has neither all ids nor the node's PID and IPC namespaces. */
function possible(wish: Wish): Wish {
  if (wish.hostId === undefined) return wish;
  const { user } = wish;
  return {
    ...wish,
    ipc: POD,
    podPid: wish.podPid === NODE ? CONTAINER : wish.podPid,
    groups: wish.groups.map((group) => group % IDS),
    user: {
      ...user,
      ...(user.id !== undefined && { id: user.id % IDS }),
      ...(user.group !== undefined && { group: user.group % IDS }),
    },
  };
}

/** The pod and the container of a wish; their mounts show `hostDirectory`. */
export function toConfig(wish: Wish, hostDirectory: string): { pod: Pod; container: Container } {
  const { user } = wish;
  const sysctls: Record<string, string> = {};
  if (wish.sysctl && wish.network === POD) sysctls['net.ipv4.ip_unprivileged_port_start'] = '81';
  if (wish.sysctl && wish.ipc === POD) sysctls['kernel.shm_rmid_forced'] = '1';
  const ids = wish.hostId === undefined ? [] : [{ hostId: wish.hostId, containerId: 0, length: IDS }];
  const usernsOptions = { mode: wish.hostId === undefined ? NODE : POD, uids: ids, gids: ids };
  const options = { network: wish.network, ipc: wish.ipc, usernsOptions };
  const pod: Pod = {
    hostname: wish.network === NODE ? '' : wish.hostname,
    dnsConfig: { servers: ['10.0.0.1'], searches: wish.searches, options: [] },
    linux: { sysctls, securityContext: { namespaceOptions: { ...options, pid: wish.podPid } } },
  };
  const pid = wish.podPid === POD && wish.ownPid ? CONTAINER : wish.podPid;
  const container: Container = {
    workingDir: wish.cwd,
    tty: wish.tty,
    envs: wish.env.map((value, index) => ({ key: `RANDOM_${String(index)}`, value: Buffer.from(value) })),
    mounts: wish.mounts.map(({ path, readonly, recursive, propagation }) => ({
      containerPath: path,
      hostPath: hostDirectory,
      readonly,
      recursiveReadOnly: readonly && recursive && propagation === 0,
      propagation,
      uidMappings: ids,
      gidMappings: ids,
    })),
    linux: {
      resources: {
        cpuShares: BigInt(wish.cpuShares),
        cpuQuota: BigInt(wish.cpuQuota),
        cpuPeriod: wish.cpuQuota === 0 ? 0n : 100_000n,
        memoryLimitInBytes: BigInt(wish.memoryMiB) << 20n,
        oomScoreAdj: BigInt(wish.oomScoreAdj),
        cpusetCpus: wish.cpuset,
      },
      securityContext: {
        ...(user.id !== undefined && { runAsUser: { value: BigInt(user.id) } }),
        ...(user.name !== undefined && { runAsUsername: user.name }),
        ...(user.group !== undefined && { runAsGroup: { value: BigInt(user.group) } }),
        supplementalGroups: wish.groups.map(BigInt),
        capabilities: {
          addCapabilities: wish.add,
          dropCapabilities: wish.drop.map((name) => (name === 'ALL' ? name : `CAP_${name}`)),
          addAmbientCapabilities: wish.ambient,
        },
        namespaceOptions: { ...options, pid },
        noNewPrivs: wish.noNewPrivs,
        privileged: wish.privileged,
        readonlyRootfs: wish.readonlyRootfs,
        ...(wish.seccomp !== undefined && { seccomp: { profileType: wish.seccomp, localhostRef: '' } }),
        maskedPaths: wish.masked,
        readonlyPaths: wish.readonly,
      },
    },
  };
  return { pod, container };
}

/** One change that makes a valid request impossible, and what the error must name. */
export interface Spoiler {
  what: string;
  names: RegExp;
  spoil(pod: Pod, container: Container): void;
}

const context = (container: Container) => container.linux!.securityContext!;
const mount = (container: Container, more: object) => container.mounts!.push({ containerPath: '/spoilt', ...more });

export const SPOILERS: readonly Spoiler[] = [
  {
    what: 'hostname',
    names: /hostname/,
    spoil: (pod) => {
      // On the node's network the pod has the node's hostname, whatever the request says.
      pod.linux!.securityContext!.namespaceOptions!.network = POD;
      pod.hostname = '-bad-';
    },
  },
  { what: 'sysctl', names: /kernel\.panic/, spoil: (pod) => (pod.linux!.sysctls!['kernel.panic'] = '1') },
  {
    what: 'pod TARGET',
    names: /namespace_options\.pid/,
    spoil: (pod) => (pod.linux!.securityContext!.namespaceOptions!.pid = NamespaceMode.TARGET),
  },
  {
    what: 'port',
    names: /port_mappings/,
    spoil: (pod) => (pod.portMappings = [{ containerPort: 80, hostPort: 70_000 }]),
  },
  { what: 'search domain', names: /dns_config/, spoil: (pod) => (pod.dnsConfig!.searches = ['a b']) },
  {
    what: 'user namespace',
    names: /userns_options\.uids/,
    spoil: (pod) => (pod.linux!.securityContext!.namespaceOptions!.usernsOptions = { mode: POD, uids: [], gids: [] }),
  },
  { what: 'working directory', names: /working_dir/, spoil: (_, c) => (c.workingDir = 'relative') },
  {
    what: 'capability',
    names: /"FLY"/,
    spoil: (_, c) => {
      context(c).privileged = false;
      context(c).capabilities!.addCapabilities = ['FLY'];
    },
  },
  {
    what: 'user name',
    names: /run_as_username/,
    spoil: (_, c) => {
      delete context(c).runAsUser;
      context(c).runAsUsername = 'nobody-here';
    },
  },
  {
    what: 'group without user',
    names: /run_as_group/,
    spoil: (_, c) => {
      delete context(c).runAsUser;
      context(c).runAsUsername = '';
      context(c).runAsGroup = { value: 5n };
    },
  },
  { what: 'negative group', names: /supplemental_groups/, spoil: (_, c) => (context(c).supplementalGroups = [-1n]) },
  {
    what: 'seccomp file',
    names: /seccomp/,
    spoil: (_, c) => {
      context(c).privileged = false;
      context(c).seccomp = { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: '/no/such/file' };
    },
  },
  { what: 'host path below a file', names: /host_path/, spoil: (_, c) => mount(c, { hostPath: '/etc/passwd/below' }) },
  {
    what: 'relative target',
    names: /container_path/,
    spoil: (_, c) => mount(c, { containerPath: 'x', hostPath: '/' }),
  },
  {
    what: 'recursive without read-only',
    names: /recursive_read_only/,
    spoil: (_, c) => mount(c, { hostPath: '/tmp', recursiveReadOnly: true }),
  },
  { what: 'mount option', names: /mount_options/, spoil: (_, c) => mount(c, { hostPath: '/', mountOptions: ['x'] }) },
  {
    what: 'image volume',
    names: /ImageVolume/,
    spoil: (_, c) => mount(c, { image: { image: 'a/b:c' }, readonly: true }),
  },
  { what: 'oom score', names: /oom_score_adj/, spoil: (_, c) => (c.linux!.resources!.oomScoreAdj = 1001n) },
  { what: 'cpuset', names: /cpuset_cpus/, spoil: (_, c) => (c.linux!.resources!.cpusetCpus = 'all') },
  { what: 'cpu period', names: /cpu_period/, spoil: (_, c) => (c.linux!.resources!.cpuPeriod = 3n) },
  {
    what: 'memory and swap below memory',
    names: /memory_swap_limit/,
    spoil: (_, c) => {
      c.linux!.resources!.memoryLimitInBytes = 1n << 30n;
      c.linux!.resources!.memorySwapLimitInBytes = 1n << 20n;
    },
  },
  { what: 'environment', names: /envs/, spoil: (_, c) => (c.envs = [{ key: 'A=B', value: Buffer.from('') }]) },
  {
    what: 'device',
    names: /devices/,
    spoil: (_, c) => (c.devices = [{ hostPath: '/etc/passwd', containerPath: '/d', permissions: 'r' }]),
  },
  { what: 'log path', names: /log_path/, spoil: (_, c) => (c.logPath = '../../../x') },
  { what: 'image', names: /not found/, spoil: (_, c) => (c.image = { image: 'localhost/none:1' }) },
];
