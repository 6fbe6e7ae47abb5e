import test from 'ava';
import type { ExecutionContext } from 'ava';
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MountPropagation, NamespaceMode, RuntimeServiceService, StatusRequest } from '../../api/gen/cri.ts';
import type { ContainerConfig, NamespaceOption } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { importImage } from './image-fixture.ts';
import { inventory, leftovers } from './leaks.ts';
import { eventually } from '../lib/eventually.ts';
import { IMAGE, ServerFixture, oneServer } from './server-fixture.ts';
import { ChannelClient, attachUrl, execUrl, forwardedPage } from './streaming-client.ts';

const one = oneServer(test);

type Container = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;

function mapping(hostId: number, length = 65_536, containerId = 0) {
  return [{ hostId, containerId, length }];
}

/** Namespaces of a pod with host ids from `hostId` on. */
function mapped(hostId: number, more: Partial<NamespaceOption> = {}) {
  const usernsOptions = { mode: POD, uids: mapping(hostId), gids: mapping(hostId) };
  return { linux: { securityContext: { namespaceOptions: { pid: CONTAINER, usernsOptions, ...more } } } };
}

const own = { linux: { securityContext: { namespaceOptions: { pid: CONTAINER } } } };

/** The output of a shell in a running container, without the last line break. */
async function outputOf(server: ServerFixture, id: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await server.exec(id, 'sh', '-c', script);
  return exitCode === 0 ? stdout.toString().trimEnd() : `failed: ${stderr.toString().trimEnd()}`;
}

/** The outputs of several shells in a running container, as {@link outputOf}; one ExecSync runs them all. */
async function outputsOf(server: ServerFixture, id: string, ...scripts: string[]): Promise<string[]> {
  const each = scripts.map(
    (script) => `(${script}\n) 2>/dev/shm/errors || { printf "failed: "; cat /dev/shm/errors; }; printf "\\036"`,
  );
  const { stdout } = await server.exec(id, 'sh', '-c', each.join('\n'));
  const outputs = stdout.toString().split('\x1e');
  return outputs.slice(0, -1).map((output) => output.trimEnd());
}

/** Owner and group of a file on the host. */
async function ownerOf(path: string): Promise<string> {
  const { uid, gid } = await stat(path);
  return `${String(uid)}:${String(gid)}`;
}

function upper(server: ServerFixture, container: string, path: string): string {
  return join(server.directory, 'root/overlay/containers', container, 'upper', path);
}

function refused(t: ExecutionContext, attempt: Promise<unknown>, code: StatusCode, message: RegExp) {
  return t.throwsAsync(attempt, { code, message } as object, message.source);
}

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: files have matching ids in namespace and store`, async (t) => {
    const server = await one(t);
    await importImage(server, 'localhost/owned:1', {
      '/home/user': { mode: 0o700, owner: 1000 },
      '/home/user/mail': { mode: 0o600, owner: 1000, text: 'of the image\n' },
      '/etc/passwd': 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n',
      '/data': { mode: 0o1750, owner: 33 },
      '/data/file': { mode: 0o640, owner: 33, text: 'x' },
    });
    const image = { image: { image: 'localhost/owned:1' } };
    const pod = await server.pod('mapped', mapped(200_000), handler);
    const id = await server.sh(pod, 'a', 'echo to stdout >/dev/stdout; echo to stderr >/dev/stderr; exec sleep 1000', {
      ...image,
      ...own,
    });
    t.deepEqual(
      await outputsOf(
        server,
        id,
        'cat /proc/self/uid_map /proc/self/gid_map | tr -s " \\n" " "',
        'stat -c "%n %u %g %a" / /bin/busybox /home/user /home/user/mail /data',
        'set -e; echo new >/new; echo more >>/home/user/mail; mkdir /d; chown 7:8 /d; chown 9 /data/file',
        'cat /home/user/mail',
      ),
      [
        ' 0 200000 65536 0 200000 65536',
        '/ 0 0 755\n/bin/busybox 0 0 755\n/home/user 1000 1000 700\n/home/user/mail 1000 1000 600\n/data 33 33 1750',
        '',
        'of the image\nmore',
      ],
    );
    t.is(await ownerOf(upper(server, id, 'new')), '0:0');
    t.is(await ownerOf(upper(server, id, 'home/user/mail')), '1000:1000');
    t.is(await ownerOf(upper(server, id, 'd')), '7:8');
    t.is(await ownerOf(upper(server, id, 'data/file')), '9:33');
    const merged = join(server.directory, 'state/rootfs', id, 'root');
    t.is(await ownerOf(join(merged, 'new')), '200000:200000', 'the host sees who it is');
    await t.throwsAsync(run('setpriv', ['--reuid=300000', '--regid=300000', '--clear-groups', 'ls', merged]));
    t.is(await server.output('mapped', 'a'), 'to stdout\n');
    t.is(await server.output('mapped', 'a', 'stderr'), 'to stderr\n');

    const user = { ...own.linux.securityContext, runAsUser: { value: 1000n }, supplementalGroups: [33n] };
    const asUser = await server.sh(pod, 'b', 'exec sleep 1000', { ...image, linux: { securityContext: user } });
    t.is(
      await outputOf(server, asUser, 'id -u; cat /home/user/mail; ls /data; touch /bin/x 2>&1 || echo no'),
      '1000\nof the image\nfile\ntouch: /bin/x: Permission denied\nno',
    );

    // Another pod with other ids, and one without a user namespace, use the image at the same time.
    const second = await server.pod('second', mapped(300_000), handler);
    const other = await server.sh(second, 'a', 'exec sleep 1000', { ...image, ...own });
    const plain = await server.sh(await server.pod('plain', {}, handler), 'a', 'exec sleep 1000', { ...image, ...own });
    for (const [container, host] of [
      [other, '300000'],
      [plain, '0'],
    ] as const) {
      t.deepEqual(
        await outputsOf(
          server,
          container,
          'stat -c "%u" /home/user/mail; cat /home/user/mail; touch /n',
          'tr -s " " </proc/1/uid_map | cut -d " " -f 2,3',
        ),
        ['1000\nof the image', `0 ${host}`],
      );
      t.is(await ownerOf(upper(server, container, 'n')), '0:0');
    }
    await eventually('a process of its root, who is nobody on the host', () =>
      run('pgrep', ['-U', '200000', '-x', 'sleep']).catch(() => undefined),
    );
  });

  test.serial(`${handler}: volumes and pod files work with id mappings`, async (t) => {
    const server = await one(t);
    await importImage(
      server,
      'localhost/volumes:1',
      { '/data': { mode: 0o1750, owner: 33 }, '/data/file': { mode: 0o640, owner: 55, text: 'of the image' } },
      { config: { Volumes: { '/data': {}, '/made': {} } } },
    );
    const host = join(server.directory, `host-${handler}`);
    await mkdir(join(host, 'closed'), { recursive: true, mode: 0o700 });
    await mkdir(join(host, 'plain'), { mode: 0o755 });
    await writeFile(join(host, 'closed/secret'), 'secret', { mode: 0o600 });
    await writeFile(join(host, 'log'), '');
    await chmod(join(host, 'log'), 0o666);
    await mkdir(join(host, 'closed/home'));
    await chown(join(host, 'closed/home'), 1000, 1000);
    const maps = { uidMappings: mapping(200_000), gidMappings: mapping(200_000) };
    const pod = await server.pod('files', { hostname: 'web', ...mapped(200_000) }, handler);
    const id = await server.sh(pod, 'a', 'exec sleep 1000', {
      image: { image: 'localhost/volumes:1' },
      ...own,
      mounts: [
        { containerPath: '/vol', hostPath: join(host, 'closed'), ...maps },
        { containerPath: '/ro', hostPath: join(host, 'closed'), readonly: true, recursiveReadOnly: true, ...maps },
        { containerPath: '/plain', hostPath: join(host, 'plain') },
        { containerPath: '/dev/termination-log', hostPath: join(host, 'log') },
        {
          containerPath: '/img',
          image: { image: 'localhost/volumes:1' },
          imageSubPath: 'data',
          readonly: true,
          ...maps,
        },
      ],
    });
    const inside = {
      'cat /vol/secret; stat -c %u:%g /vol/secret /vol/home': 'secret0:0\n1000:1000',
      'echo new >/vol/new; mkdir /vol/d; chown 5:6 /vol/d; chmod 700 /vol/d': '',
      'touch /ro/x': 'failed: touch: /ro/x: Read-only file system',
      'cat /ro/secret': 'secret',
      'stat -c %u:%g /plain': '65534:65534',
      'touch /plain/x': 'failed: touch: /plain/x: Permission denied',
      'echo why >/dev/termination-log': '',
      'stat -c "%u:%g %a" /img /img/file; cat /img/file': '33:33 1750\n55:55 640\nof the image',
      'touch /img/x': 'failed: touch: /img/x: Read-only file system',
      'stat -c "%u:%g %a" /data /data/file /made; touch /made/x /data/x; stat -c %u /made/x':
        '33:33 1750\n55:55 640\n0:0 755\n0',
      'hostname; echo 1.2.3.4 x >>/etc/hosts; echo >>/etc/resolv.conf; cat /etc/hostname': 'web\nweb',
      'stat -c "%u %a" /dev/shm; echo x >/dev/shm/x; stat -c %u:%g /dev/shm/x': '0 1777\n0:0',
      'df -k /dev/shm | tail -n 1 | tr -s " " | cut -d " " -f 2': '65536',
      'for d in null zero full random urandom tty; do test -c /dev/$d || echo $d; done': '',
      'grep -c " /dev/mqueue mqueue " /proc/mounts': '1',
      'ls /sys/class/net | grep eth0': 'eth0',
      'ls /sys/fs/cgroup | grep -c . >/dev/null': '',
    };
    const outputs = await outputsOf(server, id, ...Object.keys(inside));
    t.deepEqual(Object.fromEntries(Object.keys(inside).map((script, at) => [script, outputs[at]])), inside);
    t.is(await ownerOf(join(host, 'closed/new')), '0:0');
    t.is(await ownerOf(join(host, 'closed/d')), '5:6');
    t.is(await readFile(join(host, 'log'), 'utf8'), 'why\n');
  });

  test.serial(`${handler}: streaming, stats and stop work in user namespaces`, async (t) => {
    const server = await one(t);
    await server.warm();
    const before = await inventory(server);
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '81', 'kernel.shm_rmid_forced': '1' };
    const config = mapped(200_000, { pid: POD });
    const shared = { linux: { securityContext: { namespaceOptions: { pid: POD } } } };
    const pod = await server.pod('all', { linux: { ...config.linux, sysctls } }, handler);
    const page = 'mkdir /www; echo the page > /www/index.html; httpd -p 127.0.0.1:8080 -h /www; echo up; cat';
    const id = await server.sh(pod, 'main', page, { stdin: true, ...shared });
    await server.said('all', 'main', 'up');
    t.is(
      await outputOf(server, id, 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced'),
      '81\n1',
    );
    const tty = await ChannelClient.open(
      await execUrl(server, id, ['sh', '-c', 'tty; stat -c %u $(tty)'], { tty: true }),
    );
    t.is((await tty.status()).status, 'Success');
    t.is(tty.text(1), '/dev/pts/0\r\n0\r\n');
    const attached = await ChannelClient.open(await attachUrl(server, id));
    await attached.converse('hello', /hello\n/);
    attached.ws.close();
    await attached.closed;
    const terminal = await server.create(pod, 'tty', {
      command: ['sh', '-c', 'stat -c %u $(tty); read x; echo "got $x"'],
      tty: true,
      stdin: true,
      ...shared,
    });
    await server.client.call(RuntimeServiceService.startContainer, { containerId: terminal });
    const console = await ChannelClient.open(await attachUrl(server, terminal, { tty: true }));
    await console.converse('text', /got text/);
    t.regex(await server.output('all', 'tty'), /^0\r?\n/);
    t.like(await forwardedPage(server, pod, 8080), { body: 'the page\n', error: '' });
    const inner = await outputOf(server, id, 'wget -q -O - http://127.0.0.1:8080/index.html');
    t.is(inner, 'the page');
    const { stats } = await server.client.call(RuntimeServiceService.containerStats, { containerId: id });
    t.true((stats?.writableLayer?.usedBytes?.value ?? 0n) > 0n);
    t.true((stats?.memory?.workingSetBytes?.value ?? 0n) > 0n);

    await server.end('SIGKILL');
    await server.start();
    t.is(await outputOf(server, id, 'cat /www/index.html; touch /after'), 'the page');
    t.is(await ownerOf(upper(server, id, 'after')), '0:0');
    const late = await server.sh(pod, 'late', 'cat /proc/self/uid_map', shared);
    t.is((await server.exit(late)).exitCode, 0);
    t.regex(await server.output('all', 'late'), /^ +0 +200000 +65536\n$/);
    const term = await server.sh(pod, 'term', 'trap "exit 7" TERM; echo on; while :; do sleep 0.1; done', shared);
    await eventually('its trap', async () => (await server.output('all', 'term')) !== '');
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: term, timeout: 300n });
    t.is((await server.exit(term)).exitCode, 7);
    await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
    await server.clear();
    t.deepEqual(await leftovers(server, before), []);
  });

  test.serial(`${handler}: privileged, devices and host network with user namespaces`, async (t) => {
    const server = await one(t);
    await server.warm();
    const before = await inventory(server);
    const pod = await server.pod('more', mapped(200_000), handler);
    const context = own.linux.securityContext;
    const privileged = await server.sh(pod, 'privileged', 'exec sleep 1000', {
      linux: { securityContext: { ...context, privileged: true } },
    });
    t.regex(
      await outputOf(server, privileged, 'cat /proc/self/uid_map; mount -t tmpfs none /tmp && echo ok'),
      /200000[^]*ok$/,
    );
    t.regex(await outputOf(server, privileged, 'echo 1 >/proc/sys/kernel/panic'), /Permission denied|Read-only/);
    const device = await server.sh(pod, 'device', 'exec sleep 1000', {
      ...own,
      devices: [{ hostPath: '/dev/zero', containerPath: '/dev/mine', permissions: 'r' }],
    });
    t.is(await outputOf(server, device, 'head -c 3 /dev/mine | od -An -tx1'), ' 00 00 00');
    const node = await server.pod('node', mapped(200_000, { network: NODE }), handler);
    const onNode = await server.sh(node, 'a', 'exec sleep 1000', {
      linux: { securityContext: { namespaceOptions: { network: NODE, pid: CONTAINER } } },
    });
    t.regex(await outputOf(server, onNode, 'cat /proc/self/uid_map'), /200000/);
    t.is(
      await outputOf(server, onNode, 'ls /sys/class/net | grep -c .'),
      String((await run('ls', ['/sys/class/net'])).stdout.trim().split('\n').length),
    );
    const shared = await server.sh(node, 'privileged', 'exec sleep 1000', {
      mounts: [
        {
          hostPath: join(server.directory, 'logs'),
          containerPath: '/data',
          propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
        },
      ],
      linux: { securityContext: { privileged: true, namespaceOptions: { network: NODE, pid: CONTAINER } } },
    });
    t.not(await outputOf(server, shared, 'ls /sys/fs/cgroup'), '', 'the cgroups are there beside a shared mount');
    t.not(await outputOf(server, shared, 'ls /sys/class/net'), '');

    const INVALID = StatusCode.INVALID_ARGUMENT;
    const userns = (uids: object[], gids: object[], mode: NamespaceMode = POD) =>
      server.pod(
        'bad',
        {
          linux: {
            securityContext: { namespaceOptions: { usernsOptions: { mode, uids: uids, gids: gids } } },
          },
        },
        handler,
      );
    const good = mapping(200_000);
    await refused(t, userns([], []), INVALID, /userns_options\.uids: must have one mapping, not 0/);
    await refused(t, userns([...good, ...mapping(400_000)], good), INVALID, /uids: must have one mapping, not 2/);
    await refused(t, userns(good, []), INVALID, /gids: must have one mapping, not 0/);
    await refused(t, userns(good, mapping(300_000)), INVALID, /gids: must be the same/);
    await refused(t, userns(mapping(1000, 10, 1), mapping(1000, 10, 1)), INVALID, /container_id: must be 0/);
    await refused(t, userns(mapping(1000, 0), mapping(1000, 0)), INVALID, /length: must not be 0/);
    await refused(t, userns(mapping(4_294_967_295, 2), mapping(4_294_967_295, 2)), INVALID, /exceeds the last id/);
    await refused(t, userns(good, good, CONTAINER), INVALID, /mode: must be POD or NODE/);
    await refused(t, userns(good, good, TARGET), INVALID, /mode: must be POD or NODE/);
    await refused(t, userns(good, good, NODE), INVALID, /uids: must be empty with mode NODE/);
    await refused(
      t,
      server.pod('bad', mapped(200_000, { pid: NODE }), handler),
      INVALID,
      /namespace_options\.pid: must not be NODE/,
    );
    await refused(
      t,
      server.pod('bad', mapped(200_000, { ipc: NODE }), handler),
      INVALID,
      /namespace_options\.ipc: must not be NODE/,
    );

    const bad = (more: Container, where = pod) => server.create(where, 'bad', { command: ['true'], ...own, ...more });
    const security = (more: object) => ({ linux: { securityContext: { ...context, ...more } } });
    await refused(t, bad(security({ runAsUser: { value: 65_536n } })), INVALID, /run_as_user: id 65536 is not mapped/);
    await refused(t, bad(security({ supplementalGroups: [70_000n] })), INVALID, /supplemental_groups: id 70000/);
    await refused(t, bad(mapped(300_000)), INVALID, /userns_options: must be the same as the pod's/);
    const mount = { containerPath: '/x', hostPath: server.directory };
    const maps = { uidMappings: good, gidMappings: good };
    await refused(
      t,
      bad({ mounts: [{ ...mount, uidMappings: good }] }),
      INVALID,
      /mounts\[0\]\.gidMappings: must not be empty/,
    );
    await refused(
      t,
      bad({ mounts: [{ ...mount, ...maps, hostPath: '/proc' }] }),
      StatusCode.FAILED_PRECONDITION,
      /mounts\[0\]\.uidMappings: the filesystem of \/proc does not support idmapped mounts .*; move the volume/,
    );
    const plain = await server.pod('plain', {}, handler);
    await refused(
      t,
      bad({ mounts: [{ ...mount, ...maps }] }, plain),
      INVALID,
      /requires a pod with its own user namespace/,
    );
    await refused(t, bad(mapped(200_000), plain), INVALID, /userns_options: must be the same as the pod's/);
    await server.clear();
    t.deepEqual(await leftovers(server, before), []);
  });
}

test.serial('Status reports user namespaces where they are supported', async (t) => {
  const server = await ServerFixture.make(t);
  const features = async () => {
    const { runtimeHandlers, features: all } = await server.client.call(
      RuntimeServiceService.status,
      StatusRequest.create(),
    );
    t.is(all?.userNamespacesHostNetwork, runtimeHandlers[0]?.features?.userNamespaces);
    return runtimeHandlers.map((handler) => `${handler.name} ${String(handler.features?.userNamespaces)}`);
  };
  t.deepEqual(await features(), [' true', 'lxc true', 'crun true']);
  await run('chmod', ['700', server.directory]);
  t.deepEqual(await features(), [' false', 'lxc false', 'crun false']);
  await refused(t, server.pod('closed', mapped(200_000)), StatusCode.FAILED_PRECONDITION, /chmod o\+x/);
  await run('chmod', ['711', server.directory]);

  // A store on a filesystem that does not support idmapped mounts: an overlay.
  await server.end('SIGTERM');
  const root = join(server.directory, 'root');
  for (const name of ['upper', 'work']) await mkdir(join(server.directory, name));
  const options = `lowerdir=${root},upperdir=${server.directory}/upper,workdir=${server.directory}/work`;
  await run('mount', ['-t', 'overlay', '-o', options, 'overlay', root]);
  t.teardown(() => run('umount', ['-l', root]).catch(() => undefined));
  await server.start();
  t.deepEqual(await features(), [' false', 'lxc false', 'crun false']);
  await refused(
    t,
    server.pod('overlay', mapped(200_000)),
    StatusCode.FAILED_PRECONDITION,
    /requires Linux 5\.19 and a filesystem such as ext4/,
  );
  t.is((await server.pod('plain')).length, 64, IMAGE);
  await server.clear();
  await server.end('SIGTERM');
  await run('umount', [root]);
});
