import metadata from '../../package.json' with { type: 'json' };

/** Set by the bundler's `define`; absent when the sources run as they are. */
declare const PROXMOX_LXCRI_COMMIT: string | undefined;

export interface VersionInfo {
  version: string;
  /** Commit it was built from, undefined when it runs from sources. */
  commit: string | undefined;
  node: string;
}

/** What runs here. */
export function versionInfo(): VersionInfo {
  const commit = typeof PROXMOX_LXCRI_COMMIT === 'string' ? PROXMOX_LXCRI_COMMIT : undefined;
  return { version: metadata.version, commit, node: process.versions.node };
}
