import { basename, join } from 'node:path';
import type { Ids } from './ids.ts';
import { onNode } from './process.ts';
import { tool } from './machine/tool.ts';

const COMPRESSION: Readonly<Record<string, string>> = { gz: '-z', tgz: '-z', xz: '-J', zst: '--zstd', bz2: '-j' };

const MOUNTED = '/usr/share/lxc/hooks/lxc-pve-prestart-hook && exec "$@" <"$0"';

/**
 * Unpacks an archive into the mounted volumes of a container, with the ids of the container; what is there already stays.
 * @returns tar's line with how much it was.
 * @throws Error when mounting or tar fails.
 */
export async function unpackArchive(nodeFiles: string, directory: string, archive: string, ids: Ids): Promise<string> {
  const compression = COMPRESSION[archive.replace(/^.*\./, '')];
  const rootfs = join(directory, 'rootfs');
  const command = [
    ...(ids.maps.length > 0 ? ['lxc-usernsexec', ...ids.maps.flatMap((map) => ['-m', map]), '--'] : []),
    ...['tar', 'xpf', '-', ...(compression === undefined ? [] : [compression]), '--totals'],
    ...['--one-file-system', '-p', '--sparse', '--numeric-owner', '--acls', '--xattrs', '--xattrs-include=user.*'],
    ...['--xattrs-include=security.capability', '--warning=no-file-ignored', '--warning=no-xattr-write', '-C', rootfs],
    ...['--skip-old-files', '--anchored', '--exclude', './dev/*'],
  ];
  const [name, args] = onNode(nodeFiles, 'sh', '-c', MOUNTED, archive, ...command);
  const env = { LXC_ROOTFS_PATH: rootfs, LXC_NAME: basename(directory) };
  const { stderr } = await tool(name, args, { env, shown: command.join(' ') });
  return /^Total bytes read: .*$/m.exec(stderr)?.[0] ?? '';
}
