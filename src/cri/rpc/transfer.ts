import {
  ChangeKind as WireKind,
  type ReceiveRequest,
  type SendRequest,
  type TransferService,
} from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { checkAbsolutePath } from '../../core/lifecycle/checks.ts';
import type { Sent } from '../../core/lifecycle/images/image-transfers.ts';
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
export function transferCalls({ changes, commits, transfers, images }: Services): Handlers<typeof TransferService> {
  return {
    diff: async function* ({ containerId }, { signal }) {
      if (containerId === '') throw invalidArgument('container_id', 'must not be empty');
      for await (const batch of changes.list(containerId, signal)) yield { changes: batch.map(toChange) };
    },

    commit: async ({ containerId, name, noPause, ...options }, { signal }) => {
      if (containerId === '') throw invalidArgument('container_id', 'must not be empty');
      return { imageId: await commits.commit(containerId, name, { ...options, isPaused: !noPause, signal }) };
    },

    send: async function* (request, { signal }) {
      const what = sentBy(request);
      if (request.path === '') {
        for await (const data of transfers.send(what, signal)) yield { data, size: 0n };
        return;
      }
      checkAbsolutePath('path', request.path);
      const size = await transfers.sendToFile(what, request.path, signal);
      yield { data: Buffer.alloc(0), size: BigInt(size) };
    },

    receive: async (requests, { signal }) => {
      const parts = requests[Symbol.asyncIterator]();
      const first = await parts.next();
      if (first.done === true) throw invalidArgument('data', 'is missing');
      const { name, path, data } = first.value;
      if (path !== '') checkAbsolutePath('path', path);
      const receive = () =>
        path === '' ? transfers.receive(dataOf(data, parts), name, signal) : transfers.receiveFile(path, name, signal);
      const imageId = await receive();
      return { imageId, names: images.status(imageId)?.repoTags ?? [] };
    },
  };
}

function toChange({ kind, path }: RootfsChange) {
  return { kind: KINDS[kind], path: Buffer.concat([SLASH, path]) };
}

/** @throws CriError INVALID_ARGUMENT unless there is one object. */
function sentBy({ image, containerId, snapshot }: SendRequest): Sent {
  if ((image === '') === (containerId === ''))
    throw invalidArgument('image', 'or container_id must be given, not both');
  if (image === '') return { container: containerId, snapshot: snapshot === '' ? undefined : snapshot };
  if (snapshot !== '') throw invalidArgument('snapshot', 'is one of a container; an image has none');
  return { image };
}

async function* dataOf(first: Buffer, rest: AsyncIterator<ReceiveRequest>): AsyncGenerator<Buffer> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value.data;
}
