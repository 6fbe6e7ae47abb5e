import { LayerState as WireState, LeftoverKind } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import type { ImageStoreService } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import { checkAbsolutePath } from '../../core/lifecycle/checks.ts';
import { type LayerProgress, type LayerState, PullProgress } from '../../core/lifecycle/images/pull-progress.ts';
import type { Leftover } from '../../core/lifecycle/containers/leftovers.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

function mountedImages({ mountedImages: mounted = [] }: ContainerRecord): string[] {
  return mounted.map(({ imageId }) => imageId);
}

const STATES: Record<LayerState, WireState> = {
  waiting: WireState.LAYER_STATE_WAITING,
  downloading: WireState.LAYER_STATE_DOWNLOADING,
  downloaded: WireState.LAYER_STATE_DOWNLOADED,
  unpacking: WireState.LAYER_STATE_UNPACKING,
  done: WireState.LAYER_STATE_DONE,
  present: WireState.LAYER_STATE_PRESENT,
};

const LEFTOVERS: Record<Leftover['kind'], LeftoverKind> = {
  rootfs: LeftoverKind.LEFTOVER_KIND_ROOTFS,
  volume: LeftoverKind.LEFTOVER_KIND_VOLUME,
  removed: LeftoverKind.LEFTOVER_KIND_REMOVED,
};

function toLayerProgress({ size, received, state, ...layer }: LayerProgress) {
  return { ...layer, size: BigInt(size), received: BigInt(received), state: STATES[state] };
}

/** The additional service of the server: import, export, prune of images, and pulls with progress. */
export function imageStoreCalls({ images, containers }: Services): Handlers<typeof ImageStoreService> {
  return {
    import: async ({ path, reference }, { signal }) => {
      checkAbsolutePath('path', path);
      const imageIds = await images.import(path, { ...(reference !== '' && { ref: reference }), signal });
      const names = imageIds.flatMap((id) => images.status(id)?.repoTags ?? []);
      return { imageIds, names };
    },

    export: async ({ image, path }, { signal }) => {
      checkAbsolutePath('path', path);
      if (image === '') throw invalidArgument('image', 'must not be empty');
      const { digest, size } = await images.export(image, path, signal);
      return { digest, size: BigInt(size) };
    },

    pull: async function* ({ image }, { signal }) {
      if (image === '') throw invalidArgument('image', 'must not be empty');
      const progress = new PullProgress();
      const pull = images.pull(image, undefined, signal, progress);
      for await (const layers of progress.reports(pull)) yield { layers: layers.map(toLayerProgress), imageId: '' };
      yield { layers: [], imageId: await pull };
    },

    prune: async ({ dryRun }) => {
      const used = () => new Set(containers.list().flatMap((record) => [record.imageId, ...mountedImages(record)]));
      if (dryRun) {
        const plan = await images.planPrune(used());
        const layers = plan.unused.map(({ chainId, store, bytes }) => ({ name: chainId, store, bytes }));
        return {
          imageIds: plan.images.map(({ id }) => id),
          reclaimedBytes: plan.bytes,
          leftovers: [
            ...layers.map((layer) => ({ kind: LeftoverKind.LEFTOVER_KIND_LAYER, ...layer })),
            ...(await containers.leftovers()).map((each) => ({ ...each, kind: LEFTOVERS[each.kind] })),
          ],
        };
      }
      const total = async () => (await images.fsInfo()).reduce((sum, { usedBytes }) => sum + usedBytes, 0n);
      const before = await total();
      const removed = await images.prune(used);
      const freed = before - (await total());
      return { imageIds: removed.map(({ id }) => id), reclaimedBytes: freed > 0n ? freed : 0n, leftovers: [] };
    },
  };
}
