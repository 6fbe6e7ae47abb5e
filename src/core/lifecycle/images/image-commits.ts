import type { Clock } from '../../model/clock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import { failedPrecondition } from '../../model/errors.ts';
import type { LayerPacker, PackedLayer } from '../../model/image-files.ts';
import type { ContainerChanges } from '../containers/container-changes.ts';
import type { ContainerService } from '../containers/container-service.ts';
import type { PodService } from '../pods/pod-service.ts';
import { type CommitOptions, committedConfig } from './commit-config.ts';
import type { ImageService } from './image-service.ts';
import { layersOf, ownImage, PLAIN_LAYER } from './own-image.ts';

export interface ImageCommitsOptions {
  pods: Pick<PodService, 'backendOf'>;
  containers: Pick<ContainerService, 'get' | 'exclusive'>;
  changes: Pick<ContainerChanges, 'open'>;
  images: Pick<ImageService, 'status' | 'documents' | 'add'>;
  packer: LayerPacker;
  clock: Clock;
}

/** Makes images of containers. */
export class ImageCommits {
  readonly #options: ImageCommitsOptions;

  constructor(options: ImageCommitsOptions) {
    this.#options = options;
  }

  /**
   * Makes an image of a container: the layers and the configuration of its image, and a layer of its changes. Returns its id.
   * @param isPaused freezes a running container while its files are read; where the store makes a snapshot, only for that.
   * @throws CriError NOT_FOUND, INVALID_ARGUMENT for the name or a change of the configuration, FAILED_PRECONDITION when its
   *   image was removed; the signal's reason.
   */
  async commit(
    container: string,
    name: string,
    { isPaused, signal, ...options }: CommitOptions & { isPaused: boolean; signal?: AbortSignal },
  ): Promise<string> {
    const { containers, images, clock } = this.#options;
    const { id, imageId, spec } = containers.get(container);
    const base = images.status(imageId);
    if (base === undefined) {
      throw failedPrecondition(
        `the image of container ${id} was removed; pull ${spec.image.asked || spec.image.name} again`,
      );
    }
    const documents = await images.documents(base);
    const created = new Date(Number(clock.now() / 1_000_000n)).toISOString();
    const config = (layer: string) =>
      committedConfig(documents.config, { ...options, layer, created, createdBy: `proxmox-lxcri commit ${id}` });
    // A wrong change of the configuration is found before the work.
    config(`sha256:${'0'.repeat(64)}`);
    const pack = await containers.exclusive(id, (record) => this.#read(record, isPaused, signal), signal);
    const packed = await pack();
    try {
      const layers = [
        ...layersOf(documents.manifest),
        { mediaType: PLAIN_LAYER, digest: packed.digest, size: packed.size },
      ];
      return await images.add(ownImage(config(packed.digest), layers, packed.open), [name], signal);
    } finally {
      await packed.discard();
    }
  }

  /** Returns what packs the changes: at once, where they are no snapshot, while the container is frozen. */
  async #read(
    record: ContainerRecord,
    isPaused: boolean,
    signal: AbortSignal | undefined,
  ): Promise<() => Promise<PackedLayer>> {
    const { pods, changes, packer } = this.#options;
    const { runner } = pods.backendOf(record.sandboxId);
    if (isPaused && record.phase === 'running') await runner.pause(record.id);
    try {
      const opened = await changes.open(record.id, signal);
      const pack = async () => {
        try {
          return await packer.pack(opened, signal);
        } finally {
          await opened.close();
        }
      };
      if (opened.isSnapshot) return pack;
      const packed = await pack();
      return () => Promise.resolve(packed);
    } finally {
      await runner.resume(record.id);
    }
  }
}
