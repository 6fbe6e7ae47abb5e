import metadata from '../../package.json' with { type: 'json' };

/** Set by the bundler's `define`; absent when running from sources. */
declare const PROXMOX_LXCRI_COMMIT: string | undefined;

export interface VersionInfo {
  version: string;
  /** Commit it was built from, undefined when it runs from sources. */
  commit: string | undefined;
  node: string;
}

/** Versions of the program and of Node.js. */
export function versionInfo(): VersionInfo {
  const commit = typeof PROXMOX_LXCRI_COMMIT === 'string' ? PROXMOX_LXCRI_COMMIT : undefined;
  return { version: metadata.version, commit, node: process.versions.node };
}
