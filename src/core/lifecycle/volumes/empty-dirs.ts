/** An emptyDir volume in the kubelet's directory of a pod. */
export interface EmptyDir {
  /** Name of the volume in the pod. */
  volume: string;
  /** The directory that the kubelet makes for it, absolute. */
  directory: string;
  /** Whether the path is that of a `subPath`: a bind mount that the kubelet makes of something in the volume. */
  isSubPath: boolean;
}

const POD = '(/.+/pods/([A-Za-z0-9-]{1,63}))';
const VOLUME = '([a-z0-9-]{1,63})';
/** Where the kubelet has them (pkg/volume/emptydir, pkg/volume/util/subpath): the CRI does not say which mount is a volume. */
const WHOLE = new RegExp(`^${POD}/volumes/kubernetes\\.io~empty-dir/${VOLUME}$`);
const SUB_PATH = new RegExp(`^${POD}/volume-subpaths/${VOLUME}/[^/]+/[0-9]+$`);

/**
 * The emptyDir volume of the pod with this UID that a host path without links names. A sub path may be one of another kind of
 * volume: then `directory` does not exist.
 */
export function emptyDirOf(hostPath: string, podUid: string): EmptyDir | undefined {
  const isSubPath = SUB_PATH.test(hostPath);
  const [, pod, uid, volume] = WHOLE.exec(hostPath) ?? SUB_PATH.exec(hostPath) ?? [];
  if (pod === undefined || volume === undefined || uid !== podUid) return undefined;
  return { volume, directory: `${pod}/volumes/kubernetes.io~empty-dir/${volume}`, isSubPath };
}

/** Id of the volume of a store that is used in the place of an emptyDir: another sandbox of the pod finds it again. */
export function emptyDirVolumeId(podUid: string, volume: string): string {
  return `${podUid}.${volume}`;
}

/** The UID of the pod whose emptyDir a directory is, and the directory of all pods. */
export function podOf(directory: string): { uid: string; pods: string } | undefined {
  const [, pod, uid] = WHOLE.exec(directory) ?? [];
  return pod === undefined || uid === undefined ? undefined : { uid, pods: pod.slice(0, -uid.length - 1) };
}

/** The path inside its emptyDir of what is bound at a sub path, from the root of that mount (proc_pid_mountinfo(5)). */
export function pathInEmptyDir(mountRoot: string, directory: string): string | undefined {
  // The root is seen from the filesystem, which may be mounted above the pods' directory.
  const own = directory.slice(directory.lastIndexOf('/pods/'));
  const at = mountRoot.indexOf(`${own}/`);
  return at < 0 || mountRoot.endsWith('//deleted') ? undefined : mountRoot.slice(at + own.length + 1);
}
