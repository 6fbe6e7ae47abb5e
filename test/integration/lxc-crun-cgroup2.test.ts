import test from 'ava';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { cgroupMounts } from '../lib/mounts.ts';

/** In a private mount namespace: mounts the machine's v2 tree where a machine without v1 has it. */
const asUnified = 'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"';

for (const file of ['lxc-provider', 'crun-provider']) {
  test.serial(`${file} on cgroup v2`, async (t) => {
    t.timeout(3_600_000);
    if ((await cgroupMounts()).every(({ version }) => version === 2)) {
      t.pass('this machine has cgroup v2 alone, so the tests of that name have shown it');
      return;
    }
    const ava = ['node_modules/ava/entrypoints/cli.mjs', '--tap', `test/integration/${file}.test.ts`];
    const shell = ['sh', '-c', asUnified, 'sh', process.execPath, ...ava];
    const env = Object.entries(process.env).filter(([name]) => !name.startsWith('AVA_'));
    const { stdout } = await run('unshare', ['--mount', '--propagation', 'private', ...shell], {
      env: Object.fromEntries(env),
      timeoutMs: 3_500_000,
    }).catch((error: unknown) => {
      if (error instanceof CommandError) t.log(error.stdout, error.stderr);
      throw error;
    });
    t.regex(stdout, /^# fail 0$/m);
  });
}
