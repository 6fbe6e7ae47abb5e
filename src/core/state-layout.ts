/** The format of records that is written (core/lifecycle/records); a server reads this one and the earlier ones. */
export const RECORD_FORMAT = 2;

/** Names of the server's files in its root directory. Other files there are foreign. */
export const ROOT = {
  /** Marks the directory as this server's; see src/host/root-marker.ts. */
  marker: '.proxmox-lxcri',
  lock: 'lock',
  /** Reserved space for records of exits on a full disk. */
  reserve: 'reserve',
  sandboxes: 'sandboxes',
  containers: 'containers',
  images: 'images',
  content: 'content',
  overlay: 'overlay',
  /** Mount points of the ZFS store. */
  zfs: 'zfs',
  volumes: 'volumes',
  import: 'import',
  export: 'export',
  signed: 'signed',
  /** The program of pause processes; state is often on a filesystem mounted noexec. */
  programs: 'programs',
  /** Which VMIDs the pods of handlers with guests of Proxmox VE have. */
  vmids: 'vmids.json',
  /** Which IP addresses the pods of handlers whose network Proxmox VE manages have. */
  addresses: 'addresses.json',
  /** Networks that are prepared for pods, or are being released after them. */
  networks: 'networks',
  /** Which archives of images.archive_dir have been imported. */
  archives: 'archives.json',
  /** Which files of bfc.directory have been imported. */
  bfcFiles: 'bfc.json',
} as const;

/**
 * Names of the server's files in its state directory, which a reboot empties, except the directories of the handlers:
 * those are in the registry (`stateDirectory`).
 */
export const STATE = {
  /** Backups of records, in a directory with the name that the records have below the root. */
  records: 'records',
  /** Files of pods: hosts, resolv.conf, /dev/shm. */
  sandboxes: 'sandboxes',
  /** Mount points of root filesystems. */
  rootfs: 'rootfs',
  /** Mount points of volumes that a store has. */
  volumes: 'volumes',
  runner: 'runner',
  /** FIFO that running commands of this server keep open. */
  helpers: 'helpers',
  /** FIFOs that running CNI plugins keep open, one for each server. */
  networkCommands: 'network-commands',
  /** Sockets of NRI plugins that are being started. */
  plugins: 'plugins',
  /** Namespaces of prepared networks, and of those being released. */
  networks: 'networks',
  /** Diagnostic reports and heap snapshots. */
  reports: 'reports',
} as const;

/** The server's files below its root or state directory, as `wipe` removes them. */
export interface OwnPart {
  /** Path of a file or a directory. */
  path: string;
  /** Which names in the directory are the server's; without it, all are. */
  own?: RegExp;
}

/** Names after the 64 hexadecimal digits of an id, and hidden ones. */
const BY_ID = /^\.|^(sha256-)?[0-9a-f]{64}/;

/** The same, or those that are prepared for a pod. */
const BY_NETWORK = /^\.|^prepared-[0-9a-f]{24}|^[0-9a-f]{64}/;

/** The same, or those after the UID of a pod. */
const BY_VOLUME = /^[0-9a-zA-Z-]{1,64}\./;

/** Children first; the marker last, so that an interrupted removal can be repeated. */
export const ROOT_PARTS: readonly OwnPart[] = [
  { path: ROOT.sandboxes, own: BY_ID },
  { path: ROOT.containers, own: BY_ID },
  { path: ROOT.images, own: BY_ID },
  { path: ROOT.content },
  { path: `${ROOT.overlay}/layers`, own: BY_ID },
  { path: `${ROOT.overlay}/containers`, own: BY_ID },
  { path: ROOT.overlay },
  { path: ROOT.zfs },
  // Trees being removed, which a killed server leaves.
  { path: `${ROOT.volumes}/removed` },
  { path: ROOT.volumes, own: BY_ID },
  { path: ROOT.import },
  { path: ROOT.export },
  { path: ROOT.signed },
  { path: ROOT.programs },
  { path: ROOT.networks, own: BY_NETWORK },
  { path: ROOT.archives },
  { path: ROOT.bfcFiles },
  { path: ROOT.vmids },
  { path: ROOT.addresses },
  { path: ROOT.reserve },
  { path: ROOT.lock },
  { path: ROOT.marker },
];

/** The same of the state directory. @param handlerDirectories names, each of a directory with an entry for each sandbox. */
export function stateParts(handlerDirectories: readonly string[]): OwnPart[] {
  return [
    { path: STATE.records },
    { path: STATE.sandboxes, own: BY_ID },
    { path: STATE.rootfs, own: BY_ID },
    { path: STATE.volumes, own: BY_VOLUME },
    { path: `${STATE.runner}/containers`, own: BY_ID },
    { path: STATE.runner },
    ...handlerDirectories.map((path) => ({ path, own: BY_ID })),
    { path: STATE.helpers },
    { path: STATE.networkCommands },
    { path: STATE.plugins },
    { path: STATE.networks, own: BY_NETWORK },
    { path: STATE.reports },
  ];
}
