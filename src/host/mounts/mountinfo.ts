import type { MountFacts } from '../../core/model/platform-files.ts';

/** Decodes the octal escapes of mountinfo. */
export function unescapeMountinfo(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/**
 * The mount that `path`, an absolute path without links, is on, from the text of /proc/self/mountinfo
 * (proc_pid_mountinfo(5)): the last one among those with the longest mount point.
 */
export function mountOf(mountinfo: string, path: string): MountFacts {
  let best: MountFacts = { mountPoint: '/', root: '/', type: '', restrictions: [], shared: false, slave: false };
  for (const line of mountinfo.split('\n')) {
    const [mount = '', fileSystem = ''] = line.split(' - ');
    const fields = mount.split(' ');
    const mountPoint = unescapeMountinfo(fields[4] ?? '');
    const isAbove = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (!mountPoint.startsWith('/') || !isAbove || mountPoint.length < best.mountPoint.length) continue;
    const options = new Set((fields[5] ?? '').split(','));
    const optional = fields.slice(6);
    best = {
      mountPoint,
      root: unescapeMountinfo(fields[3] ?? ''),
      type: fileSystem.split(' ')[0] ?? '',
      restrictions: (['nosuid', 'nodev', 'noexec'] as const).filter((option) => options.has(option)),
      shared: optional.some((field) => field.startsWith('shared:')),
      slave: optional.some((field) => field.startsWith('master:')),
    };
  }
  return best;
}
