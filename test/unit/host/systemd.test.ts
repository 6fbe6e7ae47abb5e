import test from 'ava';
import { existsSync } from 'node:fs';
import { cgroupDriver } from '../../../src/host/systemd.ts';

test('cgroup driver "auto" follows the parent, then the machine', async (t) => {
  const driver = (cgroup_driver: 'auto' | 'cgroupfs' | 'systemd', cgroup_parent: string) =>
    cgroupDriver({ cgroup_driver, cgroup_parent });
  t.is(await driver('auto', '/pods'), 'cgroupfs');
  t.is(await driver('auto', 'pods.slice'), 'systemd');
  t.is(await driver('auto', ''), existsSync('/run/systemd/system') ? 'systemd' : 'cgroupfs');
  t.is(await driver('cgroupfs', ''), 'cgroupfs');
  t.is(await driver('systemd', ''), 'systemd');
});
