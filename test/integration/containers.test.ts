import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ImageServiceService,
  ImageStatusRequest,
  MountPropagation,
  NamespaceMode,
  RemoveImageRequest,
  RootfsSnapshotsService,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import type { ContainerConfig } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';
import { importImage } from './image-fixture.ts';
import { killedAmid } from './killed-amid.ts';
import { inventory, leftovers } from './leaks.ts';
import { IMAGE, oneServer } from './server-fixture.ts';
import type { ServerFixture } from './server-fixture.ts';
import { writeScript } from '../lib/script.ts';

const one = oneServer(test);

type Container = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;

const pid = (mode: NamespaceMode, targetId = '') => ({
  linux: { securityContext: { namespaceOptions: { pid: mode, targetId } } },
});

/** The output of a shell in a running container, without the last line break. */
async function outputOf(server: ServerFixture, id: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await server.exec(id, 'sh', '-c', script);
  return exitCode === 0 ? stdout.toString().trimEnd() : `failed: ${stderr.toString().trimEnd()}`;
}

async function remove(server: ServerFixture, ...ids: string[]): Promise<void> {
  for (const containerId of ids) await server.client.call(RuntimeServiceService.removeContainer, { containerId });
}

function refused(t: ExecutionContext, attempt: Promise<unknown>, code: StatusCode, message: RegExp) {
  return t.throwsAsync(attempt, { code, message } as object, message.source);
}

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: an ephemeral container joins its target's PID namespace`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('debug', pid(NamespaceMode.CONTAINER), handler);
    const target = await server.sh(pod, 'target', 'exec sleep 4711', pid(NamespaceMode.CONTAINER));
    const debug = await server.sh(pod, 'debug', 'exec sleep 4712', pid(NamespaceMode.TARGET, target));
    // Right after its start a process is still the runtime's, or the shell.
    await eventually(
      "the target's process",
      async () => (await outputOf(server, debug, 'tr "\\0" " " </proc/1/cmdline')) === 'sleep 4711',
    );
    t.is(
      await outputOf(server, debug, 'readlink /proc/self/ns/pid'),
      await outputOf(server, target, 'readlink /proc/1/ns/pid'),
    );
    await eventually('its own process', async () =>
      (await outputOf(server, target, 'cat /proc/[0-9]*/cmdline | tr "\\0" " "')).includes('sleep 4712'),
    );
    const own = await server.sh(pod, 'own', 'exec sleep 4713', pid(NamespaceMode.CONTAINER));
    t.not(
      await outputOf(server, own, 'readlink /proc/self/ns/pid'),
      await outputOf(server, target, 'readlink /proc/1/ns/pid'),
    );

    const other = await server.pod('other', {}, handler);
    const stranger = await server.sh(other, 'stranger', 'exec sleep 3600');
    const done = await server.sh(pod, 'done', 'true', pid(NamespaceMode.CONTAINER));
    await server.exit(done);
    const created = await server.create(pod, 'waiting', { command: ['true'], ...pid(NamespaceMode.CONTAINER) });
    const ask = (targetId: string) =>
      server.create(pod, 'bad', { command: ['true'], ...pid(NamespaceMode.TARGET, targetId) });
    await refused(t, ask(''), StatusCode.INVALID_ARGUMENT, /target_id: is required/);
    await refused(t, ask('nobody'), StatusCode.INVALID_ARGUMENT, /container "nobody" not found/);
    await refused(t, ask(stranger), StatusCode.INVALID_ARGUMENT, /another pod/);
    await refused(t, ask(done), StatusCode.FAILED_PRECONDITION, /is not running/);
    await refused(t, ask(created), StatusCode.FAILED_PRECONDITION, /is not running/);

    await server.client.call(RuntimeServiceService.stopContainer, { containerId: target, timeout: 0n });
    t.is((await server.exit(debug)).exitCode, 137);
  });
}

test.serial("declared volumes start with the image's content and modes", async (t) => {
  const server = await one(t);
  await importImage(
    server,
    'localhost/volumes:1',
    {
      '/data': { mode: 0o1750, owner: 33 },
      '/data/sub': { mode: 0o700, owner: 44 },
      '/data/file': { mode: 0o4640, owner: 55, text: 'from the image' },
      '/data/link': '-> ../../../../etc/shadow',
      '/real/directory/inner': 'through a link',
      '/linked': '-> /real/directory',
      '/climb': '-> ../../../../../../tmp/host',
      '/given': 'x',
    },
    { config: { Volumes: { '/data': {}, '/linked': {}, '/new/place': {}, '/climb': {}, '/asked/': {} } } },
  );
  // The directory of trees to remove is beside them.
  const volumes = async () =>
    (await readdir(join(server.directory, 'root', 'volumes'))).filter((name) => name !== 'removed');
  await server.warm();
  const image = { image: { image: 'localhost/volumes:1' } };
  const pod = await server.pod('volumes');
  const before = await inventory(server);
  const host = join(server.directory, 'host');
  await mkdir(host);
  await writeFile(join(host, 'mine'), 'of the request');
  const config: Container = {
    ...image,
    linux: { securityContext: { readonlyRootfs: true } },
    mounts: [{ containerPath: '/asked', hostPath: host }],
  };
  const id = await server.sh(pod, 'a', 'exec sleep 1000', config);
  const second = await server.sh(pod, 'b', 'exec sleep 1000', config);
  const list =
    'cd / && stat -c "%n %a %u %g %F" data data/sub data/file data/link real/directory/inner new/place climb/';
  t.deepEqual((await outputOf(server, id, list)).split('\n'), [
    'data 1750 33 33 directory',
    'data/sub 700 44 44 directory',
    'data/file 4640 55 55 regular file',
    'data/link 777 0 0 symbolic link',
    'real/directory/inner 644 0 0 regular file',
    'new/place 755 0 0 directory',
    'climb/ 755 0 0 directory',
  ]);
  t.is(
    await outputOf(server, id, 'cat /data/file /linked/inner /asked/mine'),
    'from the imagethrough a linkof the request',
  );
  t.is(
    await outputOf(server, id, 'for d in data real/directory new/place tmp/host; do echo 1 >/$d/new || echo no; done'),
    '',
  );
  t.regex(await outputOf(server, id, 'touch /x'), /Read-only/);
  t.is(await outputOf(server, second, 'ls /data/new /new/place'), 'failed: ls: /data/new: No such file or directory');
  t.is((await readdir(join(server.directory, 'root', 'volumes', id))).length, 4);

  await server.end('SIGKILL');
  await mkdir(join(server.directory, 'root', 'volumes', 'f'.repeat(64)));
  await server.start();
  t.is(await outputOf(server, id, 'cat /data/new'), '1');
  t.deepEqual((await volumes()).sort(), [id, second].sort());
  await remove(server, id, second);
  t.deepEqual(await leftovers(server, before, (line) => /\/(host|root\/volumes(\/removed)?$)/.test(line)), []);

  for (const [path, problem] of [
    ['/given', /is not a directory/],
    ['/proc/self', /belongs to the kernel/],
    ['/x/../..', /root directory/],
    ['/to-sys/fs', /belongs to the kernel/],
  ] as const) {
    const files = { '/given': 'x', '/to-sys': '-> ../sys' };
    await importImage(server, 'localhost/bad:1', files, { config: { Volumes: { [path]: {} } } });
    const attempt = server.create(pod, 'bad', { image: { image: 'localhost/bad:1' } });
    await refused(t, attempt, StatusCode.INVALID_ARGUMENT, problem);
  }
  t.deepEqual(await volumes(), []);
});

test.serial('image volumes are read-only, executable and protect their image', async (t) => {
  const server = await one(t);
  const { client } = server;
  const layers = async () => (await readdir(join(server.directory, 'root', 'overlay', 'layers'))).length;
  const layersBefore = await layers();
  await importImage(
    server,
    'localhost/content:1',
    {
      '/model/weights': 'heavy',
      '/model/tool': { mode: 0o755, owner: 0, text: '#!/bin/sh\necho tool runs\n' },
      '/inner': '-> model',
      '/escape': '-> ../../../../etc',
    },
    { busybox: false },
  );
  await server.warm();
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`images-${handler}`, {}, handler);
    const before = await inventory(server);
    const mount = (containerPath: string, more: object = {}) => ({
      containerPath,
      readonly: true,
      image: { image: 'localhost/content:1' },
      ...more,
    });
    const id = await server.sh(pod, 'c', 'exec sleep 1000', {
      mounts: [
        mount('/all'),
        mount('/sub', { imageSubPath: 'inner' }),
        mount('/file', { imageSubPath: 'model/weights' }),
        mount('/noexec', { mountOptions: ['noexec'] }),
        // The kubelet sets a sub path for other volumes, too.
        { containerPath: '/host', hostPath: server.directory, readonly: true, imageSubPath: 'no/such' },
      ],
    });
    t.is(await outputOf(server, id, 'cat /all/model/weights /sub/weights /file'), 'heavyheavyheavy');
    t.is(await outputOf(server, id, '/all/model/tool'), 'tool runs');
    t.regex(await outputOf(server, id, '/noexec/model/tool'), /denied/);
    for (const path of ['/all/x', '/sub/x']) t.regex(await outputOf(server, id, `touch ${path}`), /Read-only/);
    t.regex(await outputOf(server, id, 'mount -o remount,rw /all'), /denied|permitted/);
    const { mounts } = await server.status(id);
    const asked = ImageStatusRequest.create({ image: { image: 'localhost/content:1' } });
    const present = await server.client.call(ImageServiceService.imageStatus, asked);
    t.regex(present.image?.id ?? '', /^sha256:[0-9a-f]{64}$/);
    t.is(mounts[0]?.image?.imageRef, present.image?.id, 'as PullImage answered');
    t.is(mounts[0]?.image?.image, 'localhost/content:1');
    t.deepEqual(
      mounts.map(({ imageSubPath }) => imageSubPath),
      ['', 'inner', 'model/weights', '', 'no/such'],
    );
    t.is(mounts[4]?.image, undefined);

    // The image is removed; its content stays until the container is removed.
    const image = { image: 'localhost/content:1' };
    if (handler === 'crun') await client.call(ImageServiceService.removeImage, RemoveImageRequest.create({ image }));
    t.is(await layers(), layersBefore + 1);
    await server.end('SIGKILL');
    const view = join(server.directory, 'state', 'rootfs', `${id}.1`, 'root');
    await run('umount', ['--', view]);
    await server.start();
    t.is(await readFile(join(view, 'model', 'weights'), 'utf8'), 'heavy');
    t.is(await outputOf(server, id, 'cat /sub/weights'), 'heavy');
    const bad = (more: object) => server.create(pod, 'bad', { command: ['true'], mounts: [mount('/x', more)] });
    await refused(t, bad({ readonly: false }), StatusCode.INVALID_ARGUMENT, /readonly: must be true/);
    await refused(t, bad({ hostPath: '/tmp' }), StatusCode.INVALID_ARGUMENT, /host_path: must be empty/);
    await refused(t, bad({ propagation: 2 }), StatusCode.INVALID_ARGUMENT, /BIDIRECTIONAL/);
    const failing: object[] = [{ image: { image: 'localhost/none:1' } }];
    if (handler === 'lxc') {
      failing.push(
        ...['none', '/model', '../x', 'model/..', 'escape/passwd'].map((imageSubPath) => ({ imageSubPath })),
      );
    }
    for (const more of failing) {
      await refused(t, bad(more), StatusCode.UNKNOWN, /^ImageVolumeMountFailed: config\.mounts\[0\]\.image: /);
    }
    await remove(server, id);
    t.is(await layers(), handler === 'crun' ? layersBefore : layersBefore + 1);
    t.deepEqual(
      await leftovers(server, before, (line) =>
        /\/root\/(overlay\/l|images|content)|\/state\/records\/images/.test(line),
      ),
      [],
    );
  }
});

test.serial("requested mounts replace the pod's own mounts", async (t) => {
  const server = await one(t);
  await importImage(server, 'localhost/links:1', {
    '/real/deep': null,
    '/link': '-> /real',
    '/up': '-> ../../../../../../real',
    '/dangling': '-> /made/up',
  });
  const directory = (name: string) => join(server.directory, 'mounts', name);
  for (const name of ['outer', 'outer/inner', 'inner', 'shm', 'linked', 'up', 'dangling', 'f1', 'f2']) {
    await mkdir(directory(name), { recursive: true });
    await writeFile(join(directory(name), 'name'), name);
  }
  await symlink('../f1/name', join(directory('f2'), 'link'));
  await symlink('/dangling/deep/name', join(directory('f2'), 'absolute'));
  await symlink('../nowhere/name', join(directory('f2'), 'leading-nowhere'));
  const mount = (containerPath: string, name: string) => ({ containerPath, hostPath: directory(name) });
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`mounts-${handler}`, {}, handler);
    const id = await server.sh(pod, 'c', 'exec sleep 1000', {
      image: { image: 'localhost/links:1' },
      mounts: [
        mount('/outer/inner', 'inner'),
        mount('/outer', 'outer'),
        mount('/dev/shm/', 'shm'),
        mount('/link/deep', 'linked'),
        mount('/up/other', 'up'),
        mount('/dangling', 'dangling'),
        { containerPath: '/etc/./hosts', hostPath: join(directory('outer'), 'name') },
        { containerPath: '/f2/link', hostPath: join(directory('linked'), 'name') },
        { containerPath: '/f2/absolute', hostPath: join(directory('up'), 'name') },
        { containerPath: '/f2/leading-nowhere', hostPath: join(directory('inner'), 'name') },
        mount('/f2', 'f2'),
        mount('/f1', 'f1'),
      ],
    });
    t.is(await outputOf(server, id, 'cat /f2/link /f1/name /f2/absolute /f2/leading-nowhere'), 'linkedlinkedupinner');
    const expected: Record<string, string> = {
      '/outer': 'outer',
      '/outer/inner': 'inner',
      '/dev/shm': 'shm',
      '/real/deep': 'linked',
      '/real/other': 'up',
      '/made/up': 'dangling',
    };
    for (const [path, name] of Object.entries(expected))
      t.is(await outputOf(server, id, `cat ${path}/name`), name, path);
    t.is(await outputOf(server, id, 'cat /etc/hosts'), 'outer');
    t.is(await outputOf(server, id, 'grep -c " /dev/shm " /proc/mounts'), '1');
    const plain = await server.sh(pod, 'plain', 'exec sleep 1000');
    t.regex(await outputOf(server, plain, 'grep " /dev/shm " /proc/mounts'), /^shm \/dev\/shm tmpfs rw,.*size=65536k/);
    const root = server.create(pod, 'root', { image: { image: IMAGE }, mounts: [mount('/x/..', 'outer')] });
    await refused(t, root, StatusCode.INVALID_ARGUMENT, /container_path: must not be the root/);
  }
});

test.serial('SIGKILL while containers with volumes are created leaves nothing', async (t) => {
  const server = await one(t);
  const files = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`/data/${String(at)}`, 'x']));
  await importImage(server, 'localhost/many:1', files, { config: { Volumes: { '/data': {}, '/more': {} } } });
  await server.warm();
  await mkdir(join(server.directory, 'root', 'volumes', 'removed'), { recursive: true, mode: 0o700 });
  await killedAmid(t, server, [10, 150, 200, 250, 300], () =>
    ['a', 'b', 'c'].map(async (name, at) => {
      const pod = await server.pod(name, {}, at % 2 === 0 ? 'lxc' : 'crun');
      const image = { image: 'localhost/many:1' };
      const mounts = [{ containerPath: '/image', image, imageSubPath: 'data', readonly: true }];
      await server.sh(pod, 'c', 'exec sleep 3600', { image, mounts });
    }),
  );
});

test.serial('mounts keep propagation and the restrictions of their filesystem', async (t) => {
  const server = await one(t);
  const directory = join(server.directory, 'volume');
  await mkdir(directory);
  await run('mount', ['-t', 'tmpfs', '-o', 'noexec,nosuid', 'tmpfs', directory]);
  t.teardown(() => run('umount', ['-l', directory]));
  await writeScript(join(directory, 'tool'), 'echo ran');
  const sharing = (propagation: MountPropagation): Container => ({
    mounts: [{ containerPath: '/v', hostPath: directory, propagation }],
    linux: { securityContext: { privileged: true } },
  });
  const { PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER } = MountPropagation;
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`sharing-${handler}`, {}, handler);
    await run('mount', ['--make-private', directory]);
    for (const propagation of [PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER]) {
      const attempt = server.sh(pod, 'private', 'exec sleep 1000', sharing(propagation));
      await refused(t, attempt, StatusCode.INVALID_ARGUMENT, /mounts\[0\]\.propagation: .*volume on the node is n/);
    }
    await run('mount', ['--make-shared', directory]);
    const id = await server.sh(pod, 'shared', 'exec sleep 1000', sharing(PROPAGATION_BIDIRECTIONAL));
    t.regex(await outputOf(server, id, '/v/tool'), /denied/);
    t.regex(await outputOf(server, id, 'grep " /v " /proc/self/mountinfo'), /rw,nosuid,noexec.* shared:/);
    t.regex(await outputOf(server, id, 'grep " /dev/shm " /proc/self/mountinfo'), /rw,nosuid,nodev,noexec/);
  }
});

test.serial('snapshots are refused on overlayfs, which has none', async (t) => {
  const server = await one(t);
  const containerId = await server.create(await server.pod('p'), 'c', { command: ['true'] });
  const refused = server.client.call(RootfsSnapshotsService.checkpointRootfs, { containerId });
  await t.throwsAsync(refused, { code: StatusCode.FAILED_PRECONDITION, message: /store overlayfs, which has no/ });
  const unknown = server.client.call(RootfsSnapshotsService.listSnapshots, { containerId: 'f'.repeat(64) });
  await t.throwsAsync(unknown, { code: StatusCode.NOT_FOUND });
});
