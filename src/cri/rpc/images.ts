import { Image, ImageFsInfoResponse } from '../../../api/gen/cri.ts';
import type { FilesystemUsage, ImageServiceService, ImageSpec } from '../../../api/gen/cri.ts';
import type { MeasuredUsage } from '../../core/lifecycle/containers/writable-usage.ts';
import type { ImageFsInfo } from '../../core/lifecycle/images/image-service.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { Handlers } from '../handlers.ts';
import { toCredentials, toImage } from '../map/image.ts';
import { chunks, info } from './services.ts';
import type { Services } from './services.ts';

/** The whole ImageService. */
export function imageCalls({ images, containers }: Services): Handlers<typeof ImageServiceService> {
  const list = (filter: { image: ImageSpec | undefined } | undefined) => images.list(filter?.image?.image).map(toImage);
  return {
    pullImage: async ({ image, auth }, { signal }) => ({
      imageRef: await images.pull(nameOf(image), toCredentials(auth), signal),
    }),

    // CRI ImageStatus: a missing image is not an error; the response has no image.
    imageStatus: ({ image, verbose }) => {
      const record = images.status(nameOf(image));
      return Promise.resolve({
        image: record === undefined ? undefined : toImage(record),
        info:
          record !== undefined && verbose
            ? info({ chainID: record.chainId ?? '', manifestDigest: record.manifestDigest, imageSpec: record.config })
            : {},
      });
    },

    listImages: ({ filter }) => Promise.resolve({ images: list(filter) }),

    streamImages: async function* ({ filter }) {
      for (const part of chunks(list(filter), Image)) yield { images: part };
    },

    removeImage: async ({ image }) => {
      await images.remove(nameOf(image));
      return {};
    },

    imageFsInfo: async () => {
      const filesystems = await images.fsInfo();
      const totals = await containers.totalUsages();
      const usage = (at: bigint, mountpoint: string, bytes: bigint, inodes: bigint) => ({
        timestamp: at,
        fsId: { mountpoint },
        usedBytes: { value: bytes },
        inodesUsed: { value: inodes },
      });
      const each = (filesystem: (info: ImageFsInfo, written: MeasuredUsage) => FilesystemUsage) =>
        filesystems.map((info) =>
          filesystem(info, totals.get(info.store) ?? { at: info.timestamp, bytes: 0n, inodes: 0n }),
        );
      return ImageFsInfoResponse.create({
        // As in containerd: the writable layers are on the same filesystem as the images, and are included. The kubelet reads
        // the first of each list.
        imageFilesystems: each(({ timestamp, mountpoint, usedBytes, inodesUsed }, { bytes, inodes }) =>
          usage(timestamp, mountpoint, usedBytes + bytes, inodesUsed + inodes),
        ),
        containerFilesystems: each(({ mountpoint }, { at, bytes, inodes }) => usage(at, mountpoint, bytes, inodes)),
      });
    },
  };
}

function nameOf(image: ImageSpec | undefined): string {
  if (image === undefined || image.image === '') throw invalidArgument('image.image', 'must not be empty');
  return image.image;
}
