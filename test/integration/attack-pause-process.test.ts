import test from 'ava';
import { readFile } from 'node:fs/promises';
import { eventually } from '../lib/eventually.ts';
import { SandboxFixture, crun, lxc } from './sandbox-fixture.ts';

for (const [handler, make] of Object.entries({ lxc, crun })) {
  test.serial(`a shared PID namespace protects the pause process: ${handler}`, async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const placement = await fixture.run(await fixture.spec({ pid: 'pod' }));
    const before = await readFile('/proc/sys/kernel/core_pattern', 'utf8');
    for (const who of ['', 'as 65535 ', 'as 65534 ']) {
      const attempts = ['attach 1', 'list /proc/1/root', 'list /proc/1/cwd', 'write /proc/1/mem x'];
      attempts.push(`write /proc/1/root/proc/sys/kernel/core_pattern ${before.trim().split(' ')[0] ?? ''}`);
      for (const attempt of attempts) {
        t.regex(await fixture.attack(placement, `${who}${attempt}`), /^refused: /, `${who}${attempt}`);
      }
    }
    t.is(await readFile('/proc/sys/kernel/core_pattern', 'utf8'), before);
    t.regex(await fixture.attack(placement, 'list /proc/self/root'), /^read /, 'the attacker works');
  });

  test.serial(`the pause process has no capabilities: ${handler}`, async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const specs = [
      {},
      { network: 'node', hostname: '' } as const,
      { userNamespace: { hostId: 300_000, size: 65_536 } },
    ];
    for (const [index, more] of specs.entries()) {
      const placement = await fixture.run(await fixture.spec({ ...more, pid: 'pod' }));
      const pid = placement.namespaces.pid?.split('/')[2] ?? '';
      await eventually('its own program', async () => (await readFile(`/proc/${pid}/comm`, 'utf8')) === 'init\n');
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      const id = index === 2 ? 365_535 : 65_535;
      for (const kind of ['Uid', 'Gid']) t.regex(status, new RegExp(`^${kind}:(\\t${String(id)}){4}$`, 'm'));
      t.regex(status, /^Groups:\s*$/m);
      for (const kind of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) t.regex(status, new RegExp(`^Cap${kind}:\\t0+$`, 'm'));
      t.regex(status, /^NoNewPrivs:\t1$/m);
      t.regex(status, /^Seccomp:\t2$/m);
      const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8');
      // The OCI runtime binds the node's devices, /dev/null and the like, one by one.
      const points = mounts.split('\n').map((mount) => mount.split(' '));
      const writable = points.filter(
        ([, , , , point, options]) => options?.startsWith('rw') && !point?.startsWith('/dev/'),
      );
      t.deepEqual(writable, []);
    }
  });
}
