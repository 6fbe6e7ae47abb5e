import type { PlatformFiles } from '../../model/platform-files.ts';

/** Bytes of an image's passwd and group files that are read; parsing blocks the event loop. */
export const USER_FILE_BYTES = 1024 * 1024;

/**
 * The contents of /etc/passwd and /etc/group of a root filesystem; empty where there is none.
 * @throws CriError INVALID_ARGUMENT for a file above {@link USER_FILE_BYTES}, and for a special file.
 */
export async function userFiles(
  files: Pick<PlatformFiles, 'readInRoot'>,
  rootfs: string,
): Promise<{ passwd: string; group: string }> {
  const read = async (path: string) => (await files.readInRoot(rootfs, path, USER_FILE_BYTES))?.toString('utf8') ?? '';
  return { passwd: await read('/etc/passwd'), group: await read('/etc/group') };
}
