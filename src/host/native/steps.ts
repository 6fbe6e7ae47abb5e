import type { Field, StepMessage } from './messages.ts';

/** A range of ids that a user namespace has from 0 on. */
export interface IdMap {
  /** The host's id of the namespace's 0. */
  hostId: number;
  size: number;
}

/** How one descriptor of a command is set up. */
export type Descriptor =
  | { kind: 'null' }
  /** A pipe from which the command reads these bytes, then the end. One of them a command. */
  | { kind: 'input'; data: string | Buffer }
  /** What the command opens itself, such as a FIFO; `flags` of open(2). */
  | { kind: 'open'; path: string; flags: number }
  /** A connection to a unix socket. */
  | { kind: 'connect'; path: string }
  /** A pipe of which `limit` bytes are kept and the rest is counted. */
  | { kind: 'capture'; limit: number }
  /** A pipe of which the first line is kept. The step does not end before it has come, or all writers have ended. */
  | { kind: 'line'; limit: number }
  /** Open while the command works; see `NativeHelper.hold`. */
  | { kind: 'hold' }
  /** A pipe from this process to the command, or from the command to this process; see `SpawnStep.started`. */
  | { kind: 'pipe-in' }
  | { kind: 'pipe-out' };

export interface SpawnStep {
  do: 'spawn';
  /** A path, or a name on the PATH of `env`; then its arguments. No shell is involved. */
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** By number, up to 15; 0 to 2 are /dev/null unless named, the others closed. */
  descriptors: Readonly<Record<number, Descriptor>>;
  /** `cgroup.procs` files entered before the program starts. */
  cgroupFiles?: readonly string[];
  /** Namespace files entered before it starts, in this order. */
  namespaces?: readonly string[];
  /** Starts in its own network namespace. */
  freshNetwork?: boolean;
  /** The step is complete when the program has started; its exit is not reported then. */
  detached?: boolean;
  /** Starts its own session; it has its own process group in any case. */
  session?: boolean;
  /** Its initial oom_score_adj (proc(5)). Without the privilege to lower it, it is unchanged. */
  oomScoreAdj?: number;
  /** Milliseconds to wait after the program's end for data in captured pipes; 200 by default. */
  drainMs?: number;
  /**
   * Called with the pid as soon as the process is there; the program may still fail to start. `pipes`: this process's ends
   * of the command's pipes, by the command's descriptors; open, non-blocking and the callee's to close.
   */
  started?: (pid: number, pipes: ReadonlyMap<number, number>) => void;
}

interface MountStep {
  do: 'mount';
  source?: string;
  target: string;
  type?: string;
  /** Of mount(2): {@link MountFlag}. */
  flags?: number;
  /** The filesystem's own options. */
  options?: string;
  /** Relative paths in `options` are relative to it. */
  cwd?: string;
  /** No effect where something is mounted already; the step can then be repeated. */
  unlessMounted?: boolean;
}

interface UnmountStep {
  do: 'unmount';
  target: string;
  /** All mounts there, stacked on each other. */
  all?: boolean;
}

interface MkfifoStep {
  do: 'mkfifo';
  paths: readonly string[];
  mode: number;
  /** Removes an existing file first. */
  replace?: boolean;
}

interface WriteStep {
  do: 'write';
  path: string;
  data: string | Buffer;
  /** Of open(2); the file is created or truncated by default. */
  flags?: number;
  mode?: number;
}

interface PathStep {
  do: 'stat';
  path: string;
  /** Only the target of a symlink; EINVAL for anything else. */
  link?: boolean;
}

interface ReadStep {
  do: 'read';
  path: string;
  /** Bytes, at most 8 MiB; more is the error EFBIG. */
  limit: number;
}

interface MakeDirectoriesStep {
  do: 'mkdirs';
  path: string;
  mode: number;
}

export interface PinStep {
  do: 'pin';
  /** The new namespaces, and the existing file on which each is bound. An earlier bind mount there is removed. */
  pins: ReadonlyMap<'net' | 'ipc' | 'uts' | 'user' | 'cgroup', string>;
  /** Path of an existing network namespace that is joined, and bound as `net`, instead of a new one. */
  network?: string | undefined;
  /** The mapping of the new user namespace; `user` is among the pins then. */
  map?: IdMap | undefined;
  hostname?: string | undefined;
  /** Brings the loopback interface up. */
  loopback?: boolean;
  /** Kernel parameters by their path below /proc/sys. */
  sysctls?: Readonly<Record<string, string>>;
}

interface IdmapStep {
  do: 'idmap';
  source: string;
  map: IdMap;
  /** Where the mount appears; without it, only the support of kernel and filesystem is checked. */
  target?: string;
}

interface OverlayStep {
  do: 'overlay';
  /** The directory that is shown with mapped ids, and the one below it to which paths in `options` are relative. */
  store: string;
  links: string;
  options: string;
  /** Of mount(2). */
  flags: number;
  target: string;
  map: IdMap;
}

/** One operation of the helper; each runs in its own process. */
export type Step = { /** Milliseconds after which it is killed, with its process group. */ limitMs?: number } & (
  | SpawnStep
  | MountStep
  | UnmountStep
  | MkfifoStep
  | WriteStep
  | PathStep
  | ReadStep
  | MakeDirectoriesStep
  | PinStep
  | IdmapStep
  | OverlayStep
);

/** Flags of mount(2). */
export const MountFlag = { readonly: 1, nosuid: 2, nodev: 4, noexec: 8, nosymfollow: 256, bind: 4096 } as const;

/** Of unshare(2). */
const CLONE_NEWNET = 0x40000000;

/** MNT_DETACH and UMOUNT_NOFOLLOW of umount2(2). */
const LAZILY = 2 | 8;

const operations = {
  spawn: 1,
  mount: 2,
  unmount: 3,
  mkfifo: 4,
  write: 5,
  stat: 6,
  read: 7,
  mkdirs: 8,
  pin: 9,
  idmap: 10,
  overlay: 11,
};

/** The encoding of a step for the helper (src/native/README.md). */
export function encodeStep(step: Step): StepMessage {
  return { operation: operations[step.do], limitMs: Math.ceil(step.limitMs ?? 0), fields: fieldsOf(step) };
}

/** Whether repeating a possibly completed step has the same effect. */
export function isRepeatable(step: Step): boolean {
  if (step.do === 'mount') return step.unlessMounted === true;
  if (step.do === 'mkfifo') return step.replace === true;
  if (step.do === 'write') return step.flags === undefined;
  if (step.do === 'idmap') return step.target === undefined;
  return step.do !== 'spawn';
}

/** Whether a step begins only once its start has been reported: one that was not has never run. */
export function isReported(step: Step): boolean {
  return step.do === 'spawn' && step.started !== undefined;
}

function fieldsOf(step: Step): Field[] {
  switch (step.do) {
    case 'spawn':
      return spawnFields(step);
    case 'mount':
      return [
        ...optional('s', step.source),
        ['t', step.target],
        ...optional('y', step.type),
        ['f', String(step.flags ?? 0)],
        ...optional('o', step.options),
        ...optional('d', step.cwd),
        ...flag('u', step.unlessMounted),
      ];
    case 'unmount':
      return [['t', step.target], ['f', String(LAZILY)], ...flag('a', step.all)];
    case 'mkfifo':
      return [...all('p', step.paths), ['m', String(step.mode)], ...flag('r', step.replace)];
    case 'write':
      return [
        ['p', step.path],
        ['d', step.data],
        ...optional('f', step.flags?.toString()),
        ...optional('m', step.mode?.toString()),
      ];
    case 'stat':
      return [['p', step.path], ...(step.link === true ? [['l', ''] as const] : [])];
    case 'read':
      return [
        ['p', step.path],
        ['l', String(step.limit)],
      ];
    case 'mkdirs':
      return [
        ['p', step.path],
        ['m', String(step.mode)],
      ];
    case 'pin':
      return [
        ...all(
          'k',
          [...step.pins].map(([kind, path]) => `${kind}=${path}`),
        ),
        ...optional('n', step.network),
        ...optional('m', mapText(step.map)),
        ...optional('h', step.hostname),
        ...flag('l', step.loopback),
        ...all(
          'y',
          Object.entries(step.sysctls ?? {}).map(([name, value]) => `${name}=${value}`),
        ),
      ];
    case 'idmap':
      return [['s', step.source], ...optional('m', mapText(step.map)), ...optional('t', step.target)];
    case 'overlay':
      return [
        ['s', step.store],
        ['k', step.links],
        ['o', step.options],
        ['f', String(step.flags)],
        ['t', step.target],
        ...optional('m', mapText(step.map)),
        ...flag('u', true),
      ];
  }
}

function spawnFields(step: SpawnStep): Field[] {
  const descriptors = Object.entries(step.descriptors);
  const env = Object.entries(step.env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const input = descriptors.map(([, how]) => how).find((how) => how.kind === 'input');
  return [
    ...all('a', step.argv),
    ...all('e', env),
    ['d', step.cwd],
    ...all(
      'f',
      descriptors.map(([number, how]) => `${number} ${descriptorText(how)}`),
    ),
    ...(input === undefined ? [] : [['i', input.data] satisfies Field]),
    ...all('c', step.cgroupFiles ?? []),
    ...all('n', step.namespaces ?? []),
    ...optional('u', step.freshNetwork === true ? String(CLONE_NEWNET) : undefined),
    ...flag('b', step.detached),
    ...flag('s', step.session),
    ...optional('o', step.oomScoreAdj?.toString()),
    ...optional('w', step.drainMs?.toString()),
    ...flag('k', step.started !== undefined),
  ];
}

function descriptorText(how: Descriptor): string {
  switch (how.kind) {
    case 'open':
      return `open ${String(how.flags)} ${how.path}`;
    case 'connect':
      return `connect ${how.path}`;
    case 'capture':
    case 'line':
      return `${how.kind} ${String(how.limit)}`;
    default:
      return how.kind;
  }
}

function mapText(map: IdMap | undefined): string | undefined {
  return map && `${String(map.hostId)} ${String(map.size)}`;
}

function optional(tag: string, value: string | undefined): Field[] {
  return value === undefined ? [] : [[tag, value]];
}

function flag(tag: string, value: boolean | undefined): Field[] {
  return value === true ? [[tag, '']] : [];
}

function all(tag: string, values: readonly string[]): Field[] {
  return values.map((value) => [tag, value]);
}
