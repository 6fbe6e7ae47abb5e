import { chmod, chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { MountPropagation, NamespaceMode, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { importImage } from '../../integration/image-fixture.ts';
import type { ServerFixture } from '../../integration/server-fixture.ts';
import { run, TANK, zfs } from './pools.ts';

const IMAGE = 'localhost/declares:1';
const FILL = 'dd if=/dev/urandom bs=1M count=4 conv=fsync of=';

/** Ids of a user namespace. */
interface Ids {
  hostId: number;
  containerId: number;
  length: number;
}

/** Imports an image that declares the volumes /data, with a file, and /more. */
export async function importDeclaring(server: ServerFixture): Promise<void> {
  const content = { '/data/there': { mode: 0o640, owner: 70, text: 'image' } };
  await importImage(server, IMAGE, content, { config: { Volumes: { '/data': {}, '/more': {} } } });
}

/** Names of the volumes of a store. */
export async function volumesIn(dataset: string): Promise<string[]> {
  const entries = await zfs.list(`${dataset}/volumes`, ['type'], { depth: 1 });
  return entries.slice(1).map(({ name }) => name.slice(`${dataset}/volumes/`.length));
}

/** A pod's emptyDir volumes, as the kubelet makes them: `cache` with fsGroup 2000, `memory` of that medium, `free`. */
export class KubeletVolumes {
  readonly #server: ServerFixture;
  readonly #ids: Ids[];
  readonly uid: string;

  private constructor(server: ServerFixture, uid: string, ids: Ids[]) {
    this.#server = server;
    this.uid = uid;
    this.#ids = ids;
  }

  /** @param ids of the pod's user namespace; none: the node's. */
  static async make(server: ServerFixture, uid: string, ids: Ids[]): Promise<KubeletVolumes> {
    const volumes = new KubeletVolumes(server, uid, ids);
    for (const name of ['cache', 'memory', 'free']) await mkdir(volumes.#of(name), { recursive: true });
    await writeFile(join(volumes.#of('cache'), 'before'), 'node');
    await chown(volumes.#of('cache'), 0, 2000);
    await chmod(volumes.#of('cache'), 0o2777);
    await run('mount', '-t', 'tmpfs', 'tmpfs', volumes.#of('memory'));
    return volumes;
  }

  /** The configuration of a sandbox of its pod. */
  pod(name: string, attempt = 0) {
    const metadata = { name, namespace: 'test', uid: this.uid, attempt };
    const annotations = { 'proxmox-lxcri.io/volume-quota': '2Mi, cache=3Mi, free=0' };
    if (this.#ids.length === 0) return { metadata, annotations };
    const usernsOptions = { mode: NamespaceMode.POD, uids: this.#ids, gids: this.#ids };
    return { metadata, annotations, linux: { securityContext: { namespaceOptions: { usernsOptions } } } };
  }

  /** Of the configuration of a container that has all of them and those that the image declares. */
  get container() {
    const mounts = ['cache', 'memory', 'free'].map((name) => this.#mount(this.#of(name), `/${name}`));
    return { image: { image: IMAGE }, mounts };
  }

  /** The same of a container that has a directory of `cache` alone, as /logs. */
  async subPath() {
    const bound = join(this.#directory, 'volume-subpaths/cache/second/0');
    await mkdir(join(this.#of('cache'), 'logs/app'), { recursive: true, mode: 0o751 });
    await mkdir(bound, { recursive: true });
    await run('mount', '--bind', join(this.#of('cache'), 'logs/app'), bound);
    return { mounts: [this.#mount(bound, '/logs')] };
  }

  /** Asserts what a new container sees, and that its quotas end its writes. `second` has the sub path. */
  async check(t: ExecutionContext, id: string, second?: string): Promise<void> {
    const facts = await this.#sh(id, 'stat -c "%a %u %g" /cache /data/there /more; cat /cache/before /data/there');
    t.is(facts, '2777 0 2000\n640 70 70\n755 0 0\nnodeimage');
    t.is(await this.#sh(id, 'for name in cache memory free; do echo kept >/$name/x; done'), '');
    if (second !== undefined) {
      t.is(await this.#sh(second, 'stat -c "%a %g" /logs; echo shared >/logs/x'), '2751 2000\n');
      t.is(await this.#sh(id, 'cat /cache/logs/app/x'), 'shared\n');
    }
    for (const path of ['/cache', '/data']) t.regex(await this.#sh(id, `${FILL}${path}/fill`), /quota exceeded/i, path);
    const onNode = ['memory', 'free'].map((name) => readdir(this.#of(name)));
    t.deepEqual(await Promise.all(onNode), [['x'], ['x']]);
    t.false((await readdir(this.#of('cache'))).includes('x'), "the kubelet's directory is as it was");
  }

  /** Asserts that the container has what {@link check} has written to `cache`. */
  async checkKept(t: ExecutionContext, id: string): Promise<void> {
    t.is(await this.#sh(id, 'cat /cache/x'), 'kept\n');
  }

  /** Asserts that the usage of a filled container has its declared volumes, which have few files. */
  async checkUsage(t: ExecutionContext, containerId: string): Promise<void> {
    await run('zpool', 'sync', TANK);
    const { stats } = await this.#server.client.call(RuntimeServiceService.containerStats, { containerId });
    const { usedBytes, inodesUsed } = stats?.writableLayer ?? {};
    t.true((usedBytes?.value ?? 0n) > 2n ** 20n, String(usedBytes?.value));
    t.true((inodesUsed?.value ?? 0n) >= 2n && (inodesUsed?.value ?? 0n) < 30n, String(inodesUsed?.value));
  }

  /** As the kubelet does when the pod has ended, before it removes the sandbox. */
  async remove(): Promise<void> {
    for (const path of await mountPointsBelow(this.#directory)) await run('umount', path);
    await rm(this.#directory, { recursive: true });
  }

  get #directory(): string {
    return join(this.#server.directory, 'pods', this.uid);
  }

  #of(name: string): string {
    return join(this.#directory, 'volumes/kubernetes.io~empty-dir', name);
  }

  #mount(hostPath: string, containerPath: string) {
    const mappings = { uidMappings: this.#ids, gidMappings: this.#ids };
    return { hostPath, containerPath, propagation: MountPropagation.PROPAGATION_PRIVATE, ...mappings };
  }

  async #sh(id: string, script: string): Promise<string> {
    const { stdout, stderr } = await this.#server.exec(id, 'sh', '-c', script);
    return stdout.toString() + stderr.toString();
  }
}
