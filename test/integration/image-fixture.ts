import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageStoreService } from '../../api/gen/proxmoxlxcri/v1/images.ts';
import { run } from '../../src/host/processes/run.ts';
import { buildImage } from '../unit/integrations/oci/image-builder.ts';
import { writeLayout } from './images-fixture.ts';
import type { ServerFixture } from './server-fixture.ts';

/** A file's text, a link (`-> target`), or a directory (null), with its owner and mode. */
export type Files = Record<string, string | null | { mode: number; owner: number; text?: string }>;

/**
 * Imports an image of one layer with these files, by default on a static busybox as /bin/sh and all its programs.
 * @param above tars of more layers.
 */
export async function importImage(
  server: ServerFixture,
  reference: string,
  files: Files,
  { config = {}, busybox = true, above = [] }: { config?: object; busybox?: boolean; above?: readonly Buffer[] } = {},
): Promise<void> {
  const work = await mkdtemp(join(server.directory, 'image-'));
  try {
    const root = join(work, 'root');
    await mkdir(root, { mode: 0o755 });
    if (busybox) {
      await mkdir(join(root, 'bin'));
      await copyFile('/bin/busybox', join(root, 'bin/busybox'));
      await run('chroot', [root, '/bin/busybox', '--install', '-s', '/bin']);
    }
    for (const [path, entry] of Object.entries(files)) await put(join(root, path), entry);
    const archive = join(work, 'layer.tar');
    await run('tar', ['--create', '--file', archive, '--directory', root, '--numeric-owner', '.']);
    const image = buildImage([await readFile(archive), ...above], { config });
    const path = await writeLayout(join(work, 'layout'), image);
    await server.client.call(ImageStoreService.import, { path, reference }, { timeoutMs: 0 });
  } finally {
    await rm(work, { recursive: true });
  }
}

async function put(path: string, entry: Files[string]): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  if (entry === null) await mkdir(path, { recursive: true });
  else if (typeof entry === 'string' && entry.startsWith('-> ')) await symlink(entry.slice(3), path);
  else if (typeof entry === 'string') await writeFile(path, entry);
  else {
    if (entry.text === undefined) await mkdir(path, { recursive: true });
    else await writeFile(path, entry.text);
    await chown(path, entry.owner, entry.owner);
    await chmod(path, entry.mode);
  }
}
