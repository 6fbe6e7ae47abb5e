/** Facts of a path, links followed. */
export interface FileFacts {
  kind: 'directory' | 'file' | 'block' | 'char' | 'other';
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Of a device; 0 otherwise. */
  major: number;
  minor: number;
}

/** The mount that a path is on (proc_pid_mountinfo(5)). */
export interface MountFacts {
  mountPoint: string;
  /** What of its filesystem is mounted there, as a path in that. */
  root: string;
  /** Of its filesystem, as the kernel names it: `ext4`, `proc`. */
  type: string;
  /** Restrictions that a bind mount of it must keep. */
  restrictions: ('nosuid' | 'nodev' | 'noexec')[];
  /** Whether mounts in it propagate to its peers. */
  shared: boolean;
  /** Whether mounts of its master propagate to it. */
  slave: boolean;
}

/** Something mounted in a container's root; `source` is undefined where it is not known here. */
export interface InnerMount {
  destination: string;
  source: string | undefined;
}

/** A device node; `path` is relative to the directory that was asked for. */
export interface DeviceFile {
  path: string;
  facts: FileFacts;
}

/**
 * Files where the containers of a backend run. Paths of requests are accessed only here: they may be on a stalled filesystem,
 * and may be replaced at any time.
 */
export interface PlatformFiles {
  /** What is at a path; undefined when nothing is. */
  inspect(path: string): Promise<FileFacts | undefined>;

  /**
   * Device nodes below a directory, links not followed. Its entries named in `except` are left out, and what is removed
   * meanwhile. @throws when the directory does not exist or cannot be read.
   */
  devicesBelow(directory: string, except: readonly string[]): Promise<DeviceFile[]>;

  /** The path without links; undefined when it does not exist. */
  resolve(path: string): Promise<string | undefined>;

  /** The mount that a path without links is on. */
  mountOf(path: string): Promise<MountFacts>;

  /** A file's content; undefined when it does not exist. @throws Error for more than `maxBytes` bytes. */
  read(path: string, maxBytes: number): Promise<Buffer | undefined>;

  /** Creates a directory with mode 0755, and its parents. No error when it exists. */
  makeDirectory(path: string): Promise<void>;

  /**
   * Copies a directory onto an empty one: content, owners, modes, times and extended attributes, its own among them.
   * @throws Error with the reason; the signal's reason.
   */
  copyDirectory(source: string, target: string, signal?: AbortSignal): Promise<void>;

  /**
   * Calls `use` with a path that leads to a directory below `root`, links resolved inside, whatever somebody who can change the
   * tree does meanwhile. What is missing of it is made, with the owners and modes that it has below `like`.
   * @throws Error where it is no directory; whatever `use` throws.
   */
  withDirectory<T>(root: string, path: string, like: string, use: (path: string) => Promise<T>): Promise<T>;

  /** The reasons why the filesystems of `paths` do not support idmapped mounts, each undefined when it does. */
  idmapProblems(paths: readonly string[]): Promise<(string | undefined)[]>;

  /**
   * The path in a container after following links inside its root directory `root` and the mounts there; nothing that could
   * change it runs in the root yet. Missing components are kept unchanged; mounts without a known source have no links.
   * @throws CriError INVALID_ARGUMENT for a loop of links, naming `field`.
   */
  resolveInRoot(root: string, path: string, field: string, mounts?: readonly InnerMount[]): Promise<string>;

  /** What a path below `root` names, links resolved inside; undefined when it does not exist. */
  inspectInRoot(root: string, path: string): Promise<FileFacts | undefined>;

  /**
   * The content of a regular file below `root`, links resolved inside; undefined when it does not exist.
   * @throws CriError INVALID_ARGUMENT for more than `maxBytes` bytes, for what is no regular file, and for a loop of links.
   */
  readInRoot(root: string, path: string, maxBytes: number): Promise<Buffer | undefined>;
}
