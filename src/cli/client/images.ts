import { resolve } from 'node:path';
import {
  ExportRequest,
  type Image,
  ImageServiceService,
  ImageStatusRequest,
  ImageStoreService,
  ImportRequest,
  LeftoverKind,
  ListImagesRequest,
  PruneRequest,
  type PruneResponse,
  RemoveImageRequest,
} from '../../../api/gen/cri.ts';
import { printable } from '../../core/logging/escape.ts';
import { notFound } from '../../core/model/errors.ts';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatBytes, shortId } from '../output/units.ts';
import { pullImage } from './pull.ts';
import type { ServerClient } from './server.ts';

/** Prints the images, a line for each name. */
export async function listImages(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const { images } = await server.call(ImageServiceService.listImages, ListImagesRequest.create());
  if (input.has('quiet')) {
    context.stdout.write(images.map(({ id }) => `${id}\n`).join(''));
  } else if (input.has('names')) {
    context.stdout.write(images.flatMap(({ repoTags }) => repoTags.map((name) => `${printable(name)}\n`)).join(''));
  } else if (input.text('output') === 'json') {
    context.stdout.write(formatJson({ images }));
  } else {
    const digests = input.has('digests');
    const rows = images.flatMap((image) => imageRows(image, { full: input.has('no-trunc'), digests }));
    rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
    context.stdout.write(
      formatTable(
        ['IMAGE', 'TAG', ...(digests ? ['DIGEST'] : []), 'IMAGE ID', 'SIZE'],
        rows,
        tableWidth(context, input),
      ),
    );
  }
}

function imageRows(image: Image, { full, digests }: { full: boolean; digests: boolean }): string[][] {
  const rest = [shortId(image.id, full), formatBytes(image.size)];
  const byRepository = new Map(image.repoDigests.map((name) => name.split('@', 2) as [string, string]));
  const row = (repository: string, tag: string) => [
    repository,
    tag,
    ...(digests ? [byRepository.get(repository) ?? ''] : []),
    ...rest,
  ];
  if (image.repoTags.length === 0) return [row(image.repoDigests[0]?.split('@', 1)[0] ?? '', '')];
  return image.repoTags.map((name) => {
    const colon = name.lastIndexOf(':');
    return row(name.slice(0, colon), name.slice(colon + 1));
  });
}

/** Pulls the images in order and prints their ids. @throws CriError */
export async function pullImages(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const quiet = input.has('quiet');
  for (const image of input.args) context.stdout.write(`${await pullImage(context, server, image, { quiet })}\n`);
}

/** Lets the server import an archive, and prints the ids and names of its images. */
export async function importImages(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const request = ImportRequest.create({ path: resolve(input.args[0] ?? ''), reference: input.text('name') ?? '' });
  const response = await server.call(ImageStoreService.import, request, { timeoutMs: 0 });
  if (input.text('output') === 'json') context.stdout.write(formatJson(response));
  else context.stdout.write([...response.imageIds, ...response.names].map((line) => `${line}\n`).join(''));
}

/** Lets the server export an image to a file, and prints its digest. */
export async function exportImage(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [image = '', path = ''] = input.args;
  const request = ExportRequest.create({ image, path: resolve(path) });
  const response = await server.call(ImageStoreService.export, request, { timeoutMs: 0 });
  if (input.text('output') === 'json') context.stdout.write(formatJson(response));
  else context.stdout.write(`${response.digest}\n`);
}

const LEFTOVERS: Readonly<Record<number, string>> = {
  [LeftoverKind.LEFTOVER_KIND_LAYER]: 'layer',
  [LeftoverKind.LEFTOVER_KIND_ROOTFS]: 'rootfs',
  [LeftoverKind.LEFTOVER_KIND_VOLUME]: 'volume',
  [LeftoverKind.LEFTOVER_KIND_REMOVED]: 'removed',
};

/**
 * Lets the server remove unused images, and prints their ids and the freed space; with `--dry-run` those that it would remove,
 * and what else is left behind.
 */
export async function pruneImages(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const dryRun = input.has('dry-run');
  const response = await server.call(ImageStoreService.prune, PruneRequest.create({ dryRun }), { timeoutMs: 0 });
  if (input.text('output') === 'json') {
    context.stdout.write(formatJson(response));
    return;
  }
  context.stdout.write(dryRun ? plannedTable(response) : response.imageIds.map((id) => `${id}\n`).join(''));
  const [count, freed] = [response.imageIds.length, formatBytes(response.reclaimedBytes)];
  context.stderr.write(`${count} ${dryRun ? 'would be removed' : 'removed'}, ${freed} freed\n`);
}

/** A line for each image that would be removed, and for each leftover; empty when there are none. */
function plannedTable({ imageIds, leftovers }: PruneResponse): string {
  const rows = [
    ...imageIds.map((id) => ['image', id, '', '']),
    ...leftovers.map(({ kind, name, store, bytes }) => [LEFTOVERS[kind] ?? '', name, store, formatBytes(bytes)]),
  ];
  return rows.length === 0 ? '' : formatTable(['KIND', 'NAME', 'STORE', 'SIZE'], rows);
}

/** Removes the images. @throws CriError for the first that cannot be removed; NOT_FOUND when there is none. */
export async function removeImages(context: CliContext, server: ServerClient, names: readonly string[]): Promise<void> {
  for (const image of names) {
    // CRI: RemoveImage succeeds when the image does not exist.
    const status = ImageStatusRequest.create({ image: { image } });
    const found = await server.call(ImageServiceService.imageStatus, status);
    if (found.image === undefined) throw notFound('image', image);
    await server.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image: { image } }));
    context.stdout.write(`${image}\n`);
  }
}
