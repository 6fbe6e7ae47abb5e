import { cgroupMounts } from './mounts.ts';

/** `0` stands for the writer itself, in any PID namespace. */
const script =
  'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1/cgroup.procs" || exit 126; shift; n=$((n-1)); done; exec "$@"';

/**
 * A command line that first puts itself into an existing cgroup, in every hierarchy, and then becomes `argv`. It exits
 * with 126 when it cannot.
 */
export async function argvInCgroup(path: string, argv: readonly string[]): Promise<[string, ...string[]]> {
  const directories = (await cgroupMounts()).map(({ target }) => target + path);
  return ['/bin/sh', '-c', script, 'sh', String(directories.length), ...directories, ...argv];
}
