import { Image, ImageFsInfoResponse } from '../../../api/gen/cri.ts';
import type { ImageServiceService, ImageSpec } from '../../../api/gen/cri.ts';
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
      const { timestamp, mountpoint, usedBytes, inodesUsed } = await images.fsInfo();
      const written = await containers.totalUsage();
      const usage = (at: bigint, bytes: bigint, inodes: bigint) => ({
        timestamp: at,
        fsId: { mountpoint },
        usedBytes: { value: bytes },
        inodesUsed: { value: inodes },
      });
      return ImageFsInfoResponse.create({
        // As in containerd: the writable layers are on the same filesystem as the images, and are included.
        imageFilesystems: [usage(timestamp, usedBytes + written.bytes, inodesUsed + written.inodes)],
        containerFilesystems: [usage(written.at, written.bytes, written.inodes)],
      });
    },
  };
}

function nameOf(image: ImageSpec | undefined): string {
  if (image === undefined || image.image === '') throw invalidArgument('image.image', 'must not be empty');
  return image.image;
}
