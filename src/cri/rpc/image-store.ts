import { setTimeout as sleep } from 'node:timers/promises';
import { LayerState as WireState, LeftoverKind } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import type { ImageStoreService, ImportWithProgressRequest } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import { checkAbsolutePath } from '../../core/lifecycle/checks.ts';
import type { ImportOptions } from '../../core/lifecycle/images/import-progress.ts';
import { type LayerProgress, type LayerState, PullProgress } from '../../core/lifecycle/images/pull-progress.ts';
import type { Leftover } from '../../core/lifecycle/containers/leftovers.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import type { FileSecret } from '../../core/model/file-secret.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

/** Milliseconds between two reports of an import. */
const INTERVAL_MS = 200;
/** Of a key of a BFC file. */
const KEY_BYTES = 32;

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
  const importImages = async (path: string, reference: string, options: ImportOptions) => {
    checkAbsolutePath('path', path);
    const imageIds = await images.import(path, { ...(reference !== '' && { ref: reference }), ...options });
    const names = imageIds.flatMap((id) => images.status(id)?.repoTags ?? []);
    return { imageIds, names };
  };
  return {
    import: ({ path, reference }, { signal }) => importImages(path, reference, { signal }),

    importWithProgress: async function* (request, { signal }) {
      let last = { done: 0, total: 0 };
      const progress = (done: number, total: number) => {
        last = { done, total };
      };
      const image = request.image === '' ? undefined : request.image;
      const options = { image, signal, secret: secretIn(request), progress };
      const work = importImages(request.path, request.reference, options);
      for await (const { done, total } of changesOf(() => last, work)) {
        yield { done: BigInt(done), total: BigInt(total), result: undefined };
      }
      const result = await work;
      yield { done: BigInt(last.done), total: BigInt(last.total), result };
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

/** @throws CriError INVALID_ARGUMENT for two, or a key of another size. */
function secretIn({ password, key }: ImportWithProgressRequest): FileSecret | undefined {
  if (password.length > 0 && key.length > 0) throw invalidArgument('key', 'and password exclude each other');
  if (password.length > 0) return { kind: 'password', password };
  if (key.length === 0) return undefined;
  if (key.length !== KEY_BYTES) throw invalidArgument('key', `must have ${KEY_BYTES} bytes`);
  return { kind: 'key', key };
}

/** What `look` gives, whenever it is another value, at most every 200 ms, until the work settles. Never fails. */
async function* changesOf<T>(look: () => T, work: Promise<unknown>): AsyncGenerator<T> {
  const over = work.then(
    () => true,
    () => true,
  );
  for (let [before, isOver]: [T | undefined, boolean] = [undefined, false]; !isOver;) {
    const now = look();
    if (now !== before) yield now;
    before = now;
    isOver = await Promise.race([over, sleep(INTERVAL_MS, false)]);
  }
}
