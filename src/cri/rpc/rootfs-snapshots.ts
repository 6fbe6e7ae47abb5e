import { SnapshotKind as WireKind } from '../../../api/gen/proxmoxlxcri/v1/snapshots.ts';
import type { RootfsSnapshotsService } from '../../../api/gen/proxmoxlxcri/v1/snapshots.ts';
import type { RootfsSnapshot } from '../../core/model/rootfs-snapshots.ts';
import { defined } from '../../utils/object.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

const KINDS = {
  snapshot: WireKind.SNAPSHOT_KIND_SNAPSHOT,
  checkpoint: WireKind.SNAPSHOT_KIND_CHECKPOINT,
} as const;

function toSnapshot({ kind, dependents, ...snapshot }: RootfsSnapshot) {
  const wireKind = kind === undefined ? WireKind.SNAPSHOT_KIND_UNSPECIFIED : KINDS[kind];
  return { ...snapshot, kind: wireKind, dependents: [...dependents] };
}

/** The additional service of the server for snapshots of containers' root filesystems. */
export function rootfsSnapshotCalls({ snapshots }: Services): Handlers<typeof RootfsSnapshotsService> {
  return {
    createSnapshot: async ({ containerId, name }, { signal }) => ({
      snapshot: toSnapshot(await snapshots.create(containerId, name, signal)),
    }),

    listSnapshots: async ({ containerId }) => ({ snapshots: (await snapshots.list(containerId)).map(toSnapshot) }),

    removeSnapshot: async ({ containerId, name }) => {
      await snapshots.remove(containerId, name);
      return {};
    },

    checkpointRootfs: async ({ containerId, keepCount, keepDays }, { signal }) => {
      const made = await snapshots.checkpoint(containerId, defined({ keepCount, keepDays }), signal);
      return { ...made, snapshot: toSnapshot(made.snapshot) };
    },

    restoreRootfs: async ({ containerId, ...options }, { signal }) => {
      const restored = await snapshots.restore(containerId, options, signal);
      return { ...restored, snapshot: toSnapshot(restored.snapshot) };
    },
  };
}
