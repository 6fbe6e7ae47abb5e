import type { Parameters } from './call.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';

/** A version of Proxmox VE, `major.minor`. */
export interface Version {
  major: number;
  minor: number;
  /** As the server writes it: "9.2.11". */
  text: string;
}

/**
 * What depends on the version of Proxmox VE: the first that has it, and the first that has it no more. One of a cluster's
 * nodes may be older than the others, so the version is that of the node that is asked.
 */
const FEATURES = {
  /** `virtiofsN` of VMs, and directory mappings. */
  virtiofs: { since: '8.4' },
  /** The privilege that commands of the guest agent need: VM.Monitor, then VM.GuestAgent.*. */
  vmMonitorPrivilege: { since: '8.0', until: '9.0' },
  guestAgentPrivileges: { since: '9.0' },
  /** `GET /nodes/{node}/lxc/{vmid}/migrate`. */
  lxcMigratePreconditions: { since: '9.0' },
  /** Figures of pressure in the status of guests. */
  pressure: { since: '9.0' },
  /** A privileged container needs Sys.Modify on `/`. */
  privilegedNeedsSysModify: { since: '9.0' },
  /** `entrypoint` and `env` of containers. */
  entrypoint: { since: '9.1' },
  /** `host-managed` in `netN` of containers. */
  hostManagedNetwork: { since: '9.1' },
  /** `ha-managed` when a guest is created. */
  haManagedCreate: { since: '9.1' },
  /** `oci-registry-pull`, OCI archives as templates, and `.tar` uploads. */
  ociImages: { since: '9.1' },
  /** `lxc.init.uid`, `gid` and `groups` as raw keys. */
  rawInitIds: { since: '9.2' },
  /** `idmap=` of `rootfs` and `mpN`. */
  mountIdmap: { since: '9.2' },
  /** `GET /nodes/{node}/storage/{storage}/identity`. */
  storageIdentity: { since: '9.2' },
} as const satisfies Record<string, { since: string; until?: string }>;

/** The first version that this client is for, and the first that it is not for. */
const SUPPORTED = { since: '8.4', until: '10.0' };

export type Feature = keyof typeof FEATURES;

/** The settings of guests that only newer versions know, by their name. */
const SETTINGS: Readonly<Record<string, Feature>> = {
  entrypoint: 'entrypoint',
  env: 'entrypoint',
  'ha-managed': 'haManagedCreate',
};

/** @throws CriError INTERNAL for a text that begins with no version. */
export function parseVersion(text: string): Version {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined || minor === undefined) {
    throw new CriError(StatusCode.INTERNAL, `Proxmox API: ${JSON.stringify(text.slice(0, 100))} is not a version`);
  }
  return { major: Number(major), minor: Number(minor), text };
}

/** Whether this client is for this version. */
export function isSupported(version: Version): boolean {
  return isAtLeast(version, SUPPORTED.since) && !isAtLeast(version, SUPPORTED.until);
}

/** Whether this version has a feature. */
export function hasFeature(version: Version, feature: Feature): boolean {
  const { since, until }: { since: string; until?: string } = FEATURES[feature];
  return isAtLeast(version, since) && (until === undefined || !isAtLeast(version, until));
}

/** @throws CriError UNIMPLEMENTED that names `what` and the version that has it. */
export function requireFeature(version: Version, feature: Feature, what: string): void {
  if (hasFeature(version, feature)) return;
  const { since } = FEATURES[feature];
  throw new CriError(StatusCode.UNIMPLEMENTED, `${what} needs Proxmox VE ${since}; the node has ${version.text}`);
}

/** The features that the settings of a guest need. */
export function featuresOf(settings: Parameters): Map<Feature, string> {
  const needed = new Map<Feature, string>();
  for (const [name, value] of Object.entries(settings)) {
    const feature = SETTINGS[name];
    if (value === undefined) continue;
    if (feature) needed.set(feature, name);
    if (/^net\d+$/.test(name) && /(^|,)host-managed=/.test(String(value))) needed.set('hostManagedNetwork', name);
  }
  return needed;
}

function isAtLeast({ major, minor }: Version, version: string): boolean {
  const wanted = parseVersion(version);
  return major > wanted.major || (major === wanted.major && minor >= wanted.minor);
}
