import test from 'ava';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CgroupDriver, RuntimeServiceService } from '../../api/gen/cri.ts';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { sharedTest } from '../lib/handlers.ts';
import { cgroupMounts } from '../lib/mounts.ts';
import { oneServer } from './server-fixture.ts';

const FILE = 'test/integration/systemd.test.ts';
const isSystemd = (await readFile('/proc/1/comm', 'utf8')).trim() === 'systemd';

if (!isSystemd) {
  test.serial('the tests run below systemd as process 1', async (t) => {
    t.timeout(7_200_000);
    const cgroupMounts = async () =>
      (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(' /sys/fs/cgroup'));
    const before = await cgroupMounts();
    const ava = [process.execPath, 'node_modules/ava/entrypoints/cli.mjs', '--serial', '--tap', FILE];
    const env = Object.entries(process.env).filter(([name]) => !name.startsWith('AVA_'));
    const arguments_ = ['--mount', '--propagation', 'private', 'test/lib/below-systemd', ...ava];
    const { stdout } = await run('unshare', arguments_, {
      env: Object.fromEntries(env),
      timeoutMs: 7_000_000,
    }).catch((error: unknown) => {
      if (error instanceof CommandError) t.log(error.stdout, error.stderr);
      throw error;
    });
    t.log(
      stdout
        .split('\n')
        .filter((line) => /^(not )?ok/.test(line))
        .join('\n'),
    );
    t.regex(stdout, /^# fail 0$/m);
    t.regex(stdout, /^# pass [1-9]/m);
    t.deepEqual(await cgroupMounts(), before, 'the mounts of this namespace share their superblocks with that one');
  });
} else {
  const slice = 'lxcritest-burstable-pod1_2.slice';
  const path = '/lxcritest.slice/lxcritest-burstable.slice/lxcritest-burstable-pod1_2.slice';
  const memory = (await cgroupMounts()).find(({ version, has }) => version === 2 || has('memory'));
  const systemctl = async (...args: string[]) => (await run('systemctl', args)).stdout.trim();
  const property = (unit: string, name: string) => systemctl('show', '--value', `--property=${name}`, unit);
  const scopes = async () =>
    (await systemctl('list-units', '--all', '--plain', '--no-legend', 'proxmox-lxcri-*.scope')).split('\n');

  const one = oneServer(test, 'cgroup_driver = "systemd"\ncgroup_parent = "lxcritest.slice"\n');

  for (const handler of ['lxc', 'crun'] as const) {
    test.serial(`a pod runs in a delegated systemd scope: ${handler}`, async (t) => {
      const server = await one(t);
      const { linux } = await server.client.call(RuntimeServiceService.runtimeConfig, {});
      t.is(linux?.cgroupDriver, CgroupDriver.SYSTEMD);
      const pod = await server.pod('scoped', { linux: { cgroupParent: slice } }, handler);
      const unit = `proxmox-lxcri-${pod}.scope`;
      t.is(await property(unit, 'Slice'), slice);
      t.is(await property(unit, 'Delegate'), 'yes');
      t.is(await property(unit, 'TasksMax'), 'infinity');
      const container = await server.sh(pod, 'c', 'sleep 3600', {
        linux: { resources: { memoryLimitInBytes: 64n << 20n, cpuShares: 512n } },
      });
      const directory = join(memory?.target ?? '', path, unit, pod, container);
      const limits = async () => {
        const files = ['memory.max', 'memory.limit_in_bytes'].map((name) => readFile(join(directory, name), 'utf8'));
        return (await Promise.allSettled(files)).map((file) => (file.status === 'fulfilled' ? file.value.trim() : ''));
      };
      t.true((await limits()).includes(String(64 << 20)));
      t.not((await readFile(join(directory, 'cgroup.procs'), 'utf8')).trim(), '');
      // A reload visits all cgroups that systemd considers its own.
      await systemctl('daemon-reload');
      t.true((await limits()).includes(String(64 << 20)));
      t.is((await server.exec(container, 'echo', 'alive')).stdout.toString(), 'alive\n');

      await server.end('SIGKILL');
      t.is(await property(unit, 'ActiveState'), 'active', 'the scope outlives the server');
      await server.start();
      t.is((await server.exec(container, 'echo', 'still')).stdout.toString(), 'still\n');

      await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
      t.is(await property(unit, 'ActiveState'), 'inactive');
      await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
      await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
      t.deepEqual(await scopes(), ['']);
      const left = await readdir(directory).catch(() => []);
      t.deepEqual(
        left.filter((name) => name.includes(pod)),
        [],
      );
    });

    sharedTest(handler, 'lxc')(`stopping the scope ends the pod: ${handler}`, async (t) => {
      const server = await one(t);
      const pod = await server.pod('ended', {}, handler);
      const container = await server.sh(pod, 'c', 'sleep 3600');
      const unit = `proxmox-lxcri-${pod}.scope`;
      t.is(await property(unit, 'Slice'), 'lxcritest.slice');
      await systemctl('stop', unit);
      await server.exit(container);
      await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
      t.deepEqual(await scopes(), ['']);
    });

    sharedTest(handler, 'crun')(`a failed pod leaves no scope: ${handler}`, async (t) => {
      const server = await one(t);
      await t.throwsAsync(server.pod('bad', { linux: { cgroupParent: '/kubepods/pod1' } }, handler), {
        message: /config\.linux\.cgroup_parent: "\/kubepods\/pod1" is not a systemd slice.*"cgroupfs" \(paths\)/,
      });
      await t.throwsAsync(server.pod('bad', { linux: { sysctls: { 'net.no.such': '1' } } }, handler));
      t.deepEqual(await scopes(), ['']);
    });
  }
}
