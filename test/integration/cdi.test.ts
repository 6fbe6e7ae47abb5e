import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerFixture } from './server-fixture.ts';
import { writeScript } from '../lib/script.ts';

/** A server that finds devices in two directories of the test. */
async function make(t: ExecutionContext) {
  const server = await ServerFixture.make(t);
  const { directory } = server;
  for (const name of ['conf.d', 'cdi', 'cdi-high', 'driver']) await mkdir(join(directory, name));
  await writeFile(
    join(directory, 'conf.d/cdi.toml'),
    `[runtime]\ncdi_spec_dirs = ["${directory}/cdi", "${directory}/cdi-high"]\n`,
  );
  await server.end('SIGTERM');
  await server.start();
  await writeFile(join(directory, 'driver/library'), 'a library of the driver\n');
  const hook = join(directory, 'driver/hook');
  await writeScript(hook, `cat >"${directory}/driver/$1.state"\necho "$VALUE" >"${directory}/driver/$1.value"`);
  return { server, directory, hook };
}

const write = (path: string, devices: object[], more: object = {}) =>
  writeFile(path, JSON.stringify({ cdiVersion: '0.6.0', kind: 'vendor.com/card', devices, ...more }));

for (const handler of ['lxc', 'crun']) {
  test.serial(`a container gets its CDI devices' edits: ${handler}`, async (t) => {
    const { server, directory, hook } = await make(t);
    const hooks = ['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop'].map((hookName) => {
      return { hookName, path: hook, args: ['hook', hookName], env: [`VALUE=${hookName}`], timeout: 300 };
    });
    const card = {
      name: '0',
      containerEdits: {
        env: ['CARD=0'],
        deviceNodes: [
          { path: '/dev/card0', hostPath: '/dev/zero' },
          { path: '/dev/card-ro', type: 'c', major: 1, minor: 3, fileMode: 0o444, permissions: 'r', uid: 5, gid: 6 },
        ],
        mounts: [
          { hostPath: join(directory, 'driver'), containerPath: '/usr/lib/card', options: ['ro', 'nosuid', 'bind'] },
        ],
        hooks: [...hooks, { hookName: 'startContainer', path: '/bin/touch', args: ['touch', '/dev/shm/hooked'] }],
      },
    };
    await write(join(directory, 'cdi/card.json'), [card], {
      cdiVersion: '0.7.0',
      containerEdits: { env: ['DRIVER=y', 'PATH_OF=image'], additionalGids: [4711] },
    });
    await writeFile(
      join(directory, 'cdi/other.yaml'),
      'cdiVersion: "0.3.0"\nkind: other.io/x\ndevices:\n- name: a\n  containerEdits:\n    env: [OTHER=from-yaml]\n',
    );
    const pod = await server.pod('cdi', {}, handler);
    const container = await server.sh(pod, 'c', 'sleep 3600', {
      CDIDevices: [{ name: 'vendor.com/card=0' }],
      annotations: { 'cdi.k8s.io/plugin': 'other.io/x=a,vendor.com/card=0' },
      envs: [{ key: 'CARD', value: Buffer.from('request') }],
      linux: { securityContext: { runAsUser: { value: 1000n } } },
    });
    const sh = async (script: string) => {
      const { stdout, stderr, exitCode } = await server.exec(container, 'sh', '-c', script);
      return `${stdout.toString()}${stderr.toString()}${String(exitCode)}`;
    };
    t.is(await sh('echo $CARD $DRIVER $OTHER'), '0 y from-yaml\n0');
    t.is(await sh('id -G | tr " " "\\n" | grep 4711'), '4711\n0');
    t.is(await sh('stat -c "%F %t:%T %a %u:%g" /dev/card0'), 'character special file 1:5 666 1000:0\n0');
    t.is(await sh('head -c 3 /dev/card0 | tr "\\0" 0'), '0000');
    t.is(await sh('stat -c "%t:%T %a %u:%g" /dev/card-ro'), '1:3 444 5:6\n0');
    t.is(await sh('cat /usr/lib/card/library'), 'a library of the driver\n0');
    t.regex(await sh('touch /usr/lib/card/x'), /[Rr]ead-only file system/);
    t.is(await sh('ls /dev/shm/hooked'), '/dev/shm/hooked\n0');
    t.true((await server.status(container)).user?.linux?.supplementalGroups.includes(4711n));
    for (const name of ['prestart', 'createRuntime', 'createContainer', 'poststart']) {
      t.is(await readFile(join(directory, `driver/${name}.value`), 'utf8').catch(String), `${name}\n`, name);
      const state = JSON.parse(await readFile(join(directory, `driver/${name}.state`), 'utf8')) as { id: string };
      t.is(state.id, container, name);
    }
    t.false((await readdir(join(directory, 'driver'))).includes('poststop.value'));
    await server.client.call(RuntimeServiceService.removeContainer, { containerId: container });
    t.is(await readFile(join(directory, 'driver/poststop.value'), 'utf8'), 'poststop\n');
  });

  test.serial(`a device permits only the requested access: ${handler}`, async (t) => {
    const { server, directory } = await make(t);
    await write(join(directory, 'cdi/a.json'), [
      {
        name: 'full',
        containerEdits: { deviceNodes: [{ path: '/dev/full2', hostPath: '/dev/kmsg', permissions: 'r' }] },
      },
    ]);
    const pod = await server.pod('rules', {}, handler);
    const container = await server.sh(pod, 'c', 'sleep 3600', { CDIDevices: [{ name: 'vendor.com/card=full' }] });
    const { exitCode, stderr } = await server.exec(container, 'sh', '-c', 'echo x >/dev/full2');
    t.not(exitCode, 0);
    t.regex(stderr.toString(), /Operation not permitted/);
  });
}

test.serial('a missing device fails cleanly; specifications are reread', async (t) => {
  const { server, directory } = await make(t);
  const pod = await server.pod('none');
  const create = (name: string) => server.sh(pod, 'c', 'echo $FROM', { CDIDevices: [{ name }] });
  await t.throwsAsync(create('nonsense'), { message: /config\.CDI_devices\[0\]\.name.*vendor\.com\/class=device/ });
  await t.throwsAsync(create('vendor.com/card=0'), { message: /CDI device not found: vendor\.com\/card=0; searched/ });
  const card = (FROM: string, more: object = {}) => ({ name: '0', containerEdits: { env: [`FROM=${FROM}`], ...more } });
  await write(join(directory, 'cdi/a.json'), [card('low', { intelRdt: { closID: 'x' } })]);
  await t.throwsAsync(create('vendor.com/card=0'), {
    message: /CDI device vendor\.com\/card=0: intelRdt is not implemented/,
  });
  await write(join(directory, 'cdi/a.json'), [
    card('low', { hooks: [{ hookName: 'createRuntime', path: '/bin/false' }] }),
  ]);
  await t.throwsAsync(create('vendor.com/card=0'), { message: /hook/ });
  t.deepEqual((await server.containers()).containers, []);
  t.deepEqual(await readdir(join(directory, 'root/containers')), []);
  await write(join(directory, 'cdi-high/b.json'), [card('high')]);
  const container = await create('vendor.com/card=0');
  await server.exit(container);
  t.is(await server.output('none', 'c'), 'high\n');
  await server.client.call(RuntimeServiceService.removeContainer, { containerId: container });
  await rm(join(directory, 'cdi-high/b.json'));
  await rm(join(directory, 'cdi/a.json'));
  await t.throwsAsync(create('vendor.com/card=0'), { message: /CDI device not found/ });
});
