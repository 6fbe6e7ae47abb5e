/** What is at a path, links followed. */
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
  /** Of its file system, as the kernel names it: `ext4`, `proc`. */
  type: string;
  /** Restrictions that a bind mount of it must keep. */
  restrictions: ('nosuid' | 'nodev' | 'noexec')[];
  /** Whether mounts made in it are seen by its peers. */
  shared: boolean;
  /** Whether mounts of a master are seen in it. */
  slave: boolean;
}

/** Something mounted in a container's root; `source` is undefined where it is not known here. */
export interface InnerMount {
  destination: string;
  source: string | undefined;
}

/**
 * Files where the containers of a backend run. Paths of requests are looked at here alone: what is behind them may hang or
 * be exchanged at any time.
 */
export interface PlatformFiles {
  /** Sources of mounts that are refused where nothing is, instead of being made as a directory; normalized. */
  readonly absentMountSourcesToReject: readonly string[];

  /** What is at a path; undefined when nothing is. */
  inspect(path: string): Promise<FileFacts | undefined>;

  /** Device nodes in a directory and those below it, links not followed, with their paths relative to it. */
  devicesBelow(directory: string): Promise<{ path: string; facts: FileFacts }[]>;

  /** The path without links; undefined when it does not exist. */
  resolve(path: string): Promise<string | undefined>;

  /** The mount that a path without links is on. */
  mountOf(path: string): Promise<MountFacts>;

  /** A file's content; undefined when it does not exist. @throws Error for more than `maxBytes` bytes. */
  read(path: string, maxBytes: number): Promise<Buffer | undefined>;

  /** Makes a directory with mode 0755, and those above it. No error when it is there. */
  makeDirectory(path: string): Promise<void>;

  /** Why the file systems that hold `paths` cannot be mounted with mapped ids, each undefined when it can. */
  idmapProblems(paths: readonly string[]): Promise<(string | undefined)[]>;

  /**
   * A path as a container sees it when links inside its root directory `root`, and inside what is mounted there, are
   * followed; nothing runs in the root yet that could change it. What does not exist is kept as it is written, and what is
   * mounted without a known source holds no links.
   * @throws CriError INVALID_ARGUMENT for a loop of links, naming `field`.
   */
  resolveInRoot(root: string, path: string, field: string, mounts?: readonly InnerMount[]): Promise<string>;

  /** What a path below `root` names, links resolved inside; undefined when it does not exist. */
  inspectInRoot(root: string, path: string): Promise<FileFacts | undefined>;

  /** The content of a regular file below `root`, links resolved inside; undefined when it does not exist. */
  readInRoot(root: string, path: string, maxBytes: number): Promise<Buffer | undefined>;
}
