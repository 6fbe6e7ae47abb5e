import { ChangeKind as WireKind, type TransferService } from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { ChangeKind, RootfsChange } from '../../core/model/rootfs-changes.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

const KINDS: Record<ChangeKind, WireKind> = {
  added: WireKind.CHANGE_KIND_ADDED,
  modified: WireKind.CHANGE_KIND_MODIFIED,
  deleted: WireKind.CHANGE_KIND_DELETED,
};

const SLASH = Buffer.from('/');

/** The additional service of the server about what containers have written. */
export function transferCalls({ changes, commits }: Services): Handlers<typeof TransferService> {
  return {
    diff: async function* ({ containerId }, { signal }) {
      if (containerId === '') throw invalidArgument('container_id', 'must not be empty');
      for await (const batch of changes.list(containerId, signal)) yield { changes: batch.map(toChange) };
    },

    commit: async ({ containerId, name, noPause, ...options }, { signal }) => {
      if (containerId === '') throw invalidArgument('container_id', 'must not be empty');
      return { imageId: await commits.commit(containerId, name, { ...options, isPaused: !noPause, signal }) };
    },
  };
}

function toChange({ kind, path }: RootfsChange) {
  return { kind: KINDS[kind], path: Buffer.concat([SLASH, path]) };
}
