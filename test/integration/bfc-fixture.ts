import type { ExecutionContext } from 'ava';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fullName } from '../../src/core/lifecycle/images/reference.ts';
import { CriError } from '../../src/core/model/errors.ts';
import type { ReadLayout } from '../../src/core/model/image-layout.ts';
import { BfcImageSource, type BfcImageSourceOptions } from '../../src/integrations/bfc/images/bfc-image-source.ts';
import { readEitherLayout, readImageLayout } from '../../src/integrations/oci/archive/layout.ts';
import { ArchiveReader } from '../../src/integrations/oci/archive-reader.ts';
import { parsePlatform } from '../../src/integrations/oci/platform.ts';
import { imageFilesBelow } from '../lib/image-files.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { newService, temporary } from './images-fixture.ts';

/** A key of BFC files. */
export const KEY = Buffer.alloc(32, 'K');
/** Name of the image of most tests. */
export const NAME = 'r.example/team/app:v1';
/** The lower layer of {@link image}. */
export const base = tarOf({ name: 'etc/hostname', body: 'base\n' });
// More than is read at once, so that it is streamed.
export const large = createHash('shake256', { outputLength: 3_000_000 }).update('seed').digest().toString('latin1');
/** An image of two layers, the upper with {@link large}. */
export const image = (name: string, compress?: (tar: Buffer) => Buffer) =>
  buildImage([base, tarOf({ name: 'app/name', body: name }, { name: 'app/large', body: large })], {
    ...(compress && { compress }),
  });

/** An image service whose only source with names is a directory of BFC files; no registry is reachable. */
export async function service(t: ExecutionContext, options: Partial<BfcImageSourceOptions> = {}, freeBytes?: number) {
  const top = await temporary(t);
  const directory = join(top, 'bfc');
  await mkdir(directory);
  const platform = parsePlatform();
  const bfc = new BfcImageSource({
    directory,
    secrets: { keys: [], passwords: [] },
    readLayout: (files) => readEitherLayout(files, platform),
    fullName: (name) => fullName(name, 'docker.io'),
    storageDirectory: () => Promise.reject(new Error('no storage')),
    settleMs: 1,
    ...options,
  });
  const root = join(top, 'data');
  const sources = [bfc, new ArchiveReader({ temporary: join(root, 'import') })];
  const files = imageFilesBelow(root);
  const made = await newService(
    t,
    root,
    {},
    {
      sources,
      files: freeBytes === undefined ? files : { ...files, freeBytes: () => Promise.resolve(freeBytes) },
    },
  );
  return { ...made, top, directory, root };
}

/** Reads layouts, and calls `amid` after each part of a large layer. */
export function stoppingAmid(amid: () => unknown): ReadLayout {
  return (files) => {
    const open: typeof files.open = async function* (path, options) {
      for await (const chunk of files.open(path, options)) {
        yield chunk;
        if (chunk.length > base.length) await amid();
      }
    };
    return readImageLayout({ ...files, open }, parsePlatform());
  };
}

/** The error of a pull that has to fail. */
export const failure = (t: ExecutionContext, pull: Promise<unknown>) => t.throwsAsync(pull, { instanceOf: CriError });

/** Nothing of a failed pull is left. */
export async function leavesNothing(t: ExecutionContext, { images, store, root }: Awaited<ReturnType<typeof service>>) {
  t.deepEqual([images.list(), await store.listLayers()], [[], []]);
  for (const place of ['content/incoming', 'overlay/tmp'])
    t.deepEqual(await readdir(join(root, place)).catch(() => []), []);
  await isClosed(t);
}

/** No BFC file is open. */
export async function isClosed(t: ExecutionContext) {
  t.deepEqual(await openFiles(), []);
}

/** The BFC files that this process has open. */
export async function openFiles(): Promise<string[]> {
  const open = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return open.filter((path) => path.includes('.bfc'));
}
