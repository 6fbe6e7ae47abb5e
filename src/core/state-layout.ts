/** The format of records that is written (core/lifecycle/records); a server reads this one and the earlier ones. */
export const RECORD_FORMAT = 2;

/** Names of what the server makes in its root directory. What else lies there is somebody else's. */
export const ROOT = {
  /** Says that the directory is this server's; see src/host/root-marker.ts. */
  marker: '.proxmox-lxcri',
  lock: 'lock',
  /** Room for records of ends on a full disk. */
  reserve: 'reserve',
  sandboxes: 'sandboxes',
  containers: 'containers',
  images: 'images',
  content: 'content',
  overlay: 'overlay',
  volumes: 'volumes',
  import: 'import',
  export: 'export',
  signed: 'signed',
  /** The program of pause processes; state is often on a filesystem mounted noexec. */
  programs: 'programs',
  /** Which archives of images.archive_dir have been imported. */
  archives: 'archives.json',
} as const;

/**
 * Names of what the server makes in its state directory, which a reboot empties, beside the directories of the handlers: those
 * are in the registry (`stateDirectory`).
 */
export const STATE = {
  /** Copies of records, in a directory of the name that the records have below the root. */
  records: 'records',
  /** Files of pods: hosts, resolv.conf, /dev/shm. */
  sandboxes: 'sandboxes',
  /** Mount points of root filesystems. */
  rootfs: 'rootfs',
  runner: 'runner',
  /** FIFO that commands of this server hold while they work. */
  helpers: 'helpers',
  /** Diagnostic reports and heap snapshots. */
  reports: 'reports',
} as const;

/** What the server makes below its root or state directory, as `wipe` removes it. */
export interface OwnPart {
  /** Path of a file or a directory. */
  path: string;
  /** Which names in the directory are the server's; without it, all are. */
  own?: RegExp;
}

/** Names after the 64 hexadecimal digits of an id, and hidden ones. */
const BY_ID = /^\.|^(sha256-)?[0-9a-f]{64}/;

/** The inner ones first; the marker last, so that a removal that is cut off can be repeated. */
export const ROOT_PARTS: readonly OwnPart[] = [
  { path: ROOT.sandboxes, own: BY_ID },
  { path: ROOT.containers, own: BY_ID },
  { path: ROOT.images, own: BY_ID },
  { path: ROOT.content },
  { path: `${ROOT.overlay}/layers`, own: BY_ID },
  { path: `${ROOT.overlay}/containers`, own: BY_ID },
  { path: ROOT.overlay },
  // What is being removed, which a killed server leaves.
  { path: `${ROOT.volumes}/removed` },
  { path: ROOT.volumes, own: BY_ID },
  { path: ROOT.import },
  { path: ROOT.export },
  { path: ROOT.signed },
  { path: ROOT.programs },
  { path: ROOT.archives },
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
    { path: `${STATE.runner}/containers`, own: BY_ID },
    { path: STATE.runner },
    ...handlerDirectories.map((path) => ({ path, own: BY_ID })),
    { path: STATE.helpers },
    { path: STATE.reports },
  ];
}
