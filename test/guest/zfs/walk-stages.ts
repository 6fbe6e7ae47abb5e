import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ImageServiceService,
  ImageStatusRequest,
  ListImagesRequest,
  RemoveImageRequest,
  RootfsSnapshotsService,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { CommitRequest, TransferService } from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import type { ServerFixture } from '../../integration/server-fixture.ts';
import type { Stage } from '../../integration/walk-stages.ts';
import { run } from './pools.ts';
import { receiveFile, sendToFile } from './send-receive.ts';

const { checkpointRootfs, restoreRootfs } = RootfsSnapshotsService;
const LATEST = { name: '', discardNewer: false, force: false };
const IMAGE = 'localhost/walked:1';

/** What operators do with containers on ZFS. Those of the stages belong to the permanent pod. */
export function operatorStages(server: ServerFixture, dataset: string, walk: { readonly home: string }): Stage[] {
  const { client } = server;
  const stream = join(server.directory, 'sent.zfs');
  let number = 0;

  /** Two calls make two images, of which the earlier one loses the name. */
  const removeImages = async () => {
    const { images } = await client.call(ImageServiceService.listImages, ListImagesRequest.create());
    for (const { id, repoTags } of images) {
      if (repoTags.length > 0 && !repoTags.includes(IMAGE)) continue;
      await client.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image: { image: id } }));
    }
  };
  const needImage = async () => {
    const request = ImageStatusRequest.create({ image: { image: IMAGE } });
    const { image } = await client.call(ImageServiceService.imageStatus, request);
    if (image === undefined) throw new Error('there is no image');
  };
  const send = async (containerId: string, signal?: AbortSignal) => {
    await rm(stream, { force: true });
    await sendToFile(client, { containerId }, stream, signal);
  };

  const container = async () => {
    const name = `operated-${String((number += 1))}`;
    const id = await server.sh(walk.home, name, 'echo first >/mark; echo ready; exec sleep 1000000');
    await server.said('home', name, 'ready');
    return {
      id,
      write: (text: string) => server.exec(id, 'sh', '-c', `echo ${text} >/mark; sync`),
      check: async (text: string) => {
        // A frozen one would not answer.
        const { stdout } = await server.exec(id, 'cat', '/mark');
        if (stdout.toString() !== `${text}\n`) throw new Error(`its file is ${JSON.stringify(stdout.toString())}`);
        const rootfs = `${dataset}/rootfs/${id}`;
        const kinds = await run('zfs', 'list', '-Hrt', 'snapshot', '-o', 'proxmox-lxcri:kind', rootfs);
        if (kinds.includes('view')) throw new Error(`a snapshot is left: ${kinds}`);
      },
      remove: async () => {
        await client.call(RuntimeServiceService.removeContainer, { containerId: id });
        await rm(join(server.directory, 'logs/home', `${name}.log`), { force: true });
      },
    };
  };

  return [
    {
      name: 'Checkpoint',
      async prepare() {
        const { id, check, remove } = await container();
        return {
          call: (options) => client.call(checkpointRootfs, { containerId: id }, options),
          check: () => check('first'),
          clean: remove,
        };
      },
    },
    {
      name: 'Restore',
      async prepare() {
        const { id, write, check, remove } = await container();
        await client.call(checkpointRootfs, { containerId: id });
        await write('second');
        return {
          call: (options) => client.call(restoreRootfs, { containerId: id, ...LATEST }, options),
          check: () => check('first'),
          clean: remove,
        };
      },
    },
    {
      name: 'Commit',
      async prepare() {
        const { id, check, remove } = await container();
        return {
          call: (options) =>
            client.call(TransferService.commit, CommitRequest.create({ containerId: id, name: IMAGE }), options),
          async check() {
            await needImage();
            await check('first');
          },
          async clean() {
            await removeImages();
            await remove();
          },
        };
      },
    },
    {
      name: 'Send',
      async prepare() {
        const { id, check, remove } = await container();
        return {
          call: ({ signal } = {}) => send(id, signal),
          async check() {
            if ((await stat(stream)).size === 0) throw new Error('nothing was sent');
            await check('first');
          },
          async clean() {
            await rm(stream, { force: true });
            await remove();
          },
        };
      },
    },
    {
      name: 'Receive',
      async prepare() {
        const { id, remove } = await container();
        await send(id);
        await remove();
        return {
          call: () => receiveFile(client, stream, IMAGE),
          check: needImage,
          async clean() {
            await removeImages();
            await rm(stream);
          },
        };
      },
    },
  ];
}
