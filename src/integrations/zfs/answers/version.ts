/** A version of OpenZFS. */
export interface Version {
  major: number;
  minor: number;
  /** As printed: `2.4.4-1~bpo13+1`. */
  text: string;
}

/** What `zfs version` prints. */
export interface Versions {
  tools: Version;
  /** Of the loaded kernel module; undefined when none is loaded. */
  module: Version | undefined;
}

/** The oldest release this client knows: of Debian 12, and of Proxmox VE 8. */
export const OLDEST = { major: 2, minor: 1 };
/** The first release whose `get` prints JSON. */
export const WITH_JSON = { major: 2, minor: 3 };

/** The first release whose mounts can have mapped ids. */
export const WITH_MAPPED_IDS = { major: 2, minor: 2 };
/** The first release whose `clone` can leave the new dataset unmounted. */
export const WITH_UNMOUNTED_CLONES = { major: 2, minor: 4 };

/** Reads the output of `zfs version`; undefined for anything else. */
export function readVersions(text: string): Versions | undefined {
  const tools = read(/^zfs-(\d{1,4})\.(\d{1,4})(.*)$/m.exec(text));
  return tools && { tools, module: read(/^zfs-kmod-(\d{1,4})\.(\d{1,4})(.*)$/m.exec(text)) };
}

/** Whether a release is that one or a later one. */
export function isAtLeast(version: Version, other: Pick<Version, 'major' | 'minor'>): boolean {
  return version.major > other.major || (version.major === other.major && version.minor >= other.minor);
}

function read(match: RegExpExecArray | null): Version | undefined {
  const [, major = '', minor = '', rest = ''] = match ?? [];
  return match ? { major: Number(major), minor: Number(minor), text: `${major}.${minor}${rest}`.trim() } : undefined;
}
