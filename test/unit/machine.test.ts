import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';

const sandbox = new URL('../sandbox', import.meta.url).pathname;
const test = (process.getuid?.() === 0 ? anyTest : anyTest.skip) as TestFn;

/** A change of the sandbox, which is a machine of its own here, and what the comparison reports of it. */
const changes: [string, string, RegExp][] = [
  [
    'a mount',
    'mount -t tmpfs -o size=1m probe /mnt',
    /not ok \d+ - the machine's mounts .*\n.*\n {2}\+ .*\/mnt .* probe/,
  ],
  ['a superblock', 'mount -o remount,ro /run/lock', /mounts are as before\n[^]*\/run\/lock .*- tmpfs lock ro/],
  [
    'a cgroup',
    'for g in /sys/fs/cgroup$PROXMOX_LXCRI_TEST_CGROUP /sys/fs/cgroup/pids$PROXMOX_LXCRI_TEST_CGROUP; do [ ! -d $g ] || mkdir $g/left; done',
    /not ok \d+ - the machine's cgroups [^]*\+ \/sys\/fs\/cgroup\/.*\/left\n/,
  ],
  ['a device', ': >/run/file; mount --bind /run/file /dev/full', /devices [^]*\+ \/dev\/full regular empty file/],
  ['an interface', 'ip link add probe0 type veth peer name probe1', /interfaces [^]*\+ probe0\n/],
  ['a sysctl', 'echo 0 >/proc/sys/net/ipv4/ip_forward', /sysctls [^]*\+ \/proc\/sys\/net\/ipv4\/ip_forward:0\n/],
  ['a removed package', 'echo "bash installed" >/run/dpkg', /packages [^]*- tar\n/],
  ['an unannounced package', 'echo "evil installed" >>/run/dpkg', /packages [^]*\+ evil\n/],
];

/** What the comparison prints, and its exit code, when a script has run between the note and it. */
async function compared(t: ExecutionContext, script: string) {
  const bin = await mkdtemp(join(tmpdir(), 'machine-'));
  t.teardown(() => rm(bin, { recursive: true }));
  await writeFile(join(bin, 'dpkg-query'), '#!/bin/sh\nexec cat /run/dpkg\n', { mode: 0o755 });
  const whole = `printf 'bash installed\\ntar installed\\n' >/run/dpkg
    mount -t tmpfs lock /run/lock
    test/lib/machine note /run/note
    ${script}
    test/lib/machine compare /run/note`;
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  return spawnSync(sandbox, ['sh', '-c', whole], { encoding: 'utf8', env });
}

test('the machine comparison finds every change', async (t) => {
  const { stdout, status } = await compared(t, changes.map(([, change]) => change).join('\n'));
  for (const [what, , words] of changes) t.regex(stdout, words, what);
  t.is(status, 1);
});

test('the machine comparison finds nothing but changes', async (t) => {
  const { stdout, status } = await compared(t, 'echo "good installed" >>/run/dpkg; echo good >/run/note/announced');
  t.regex(stdout, /^(?![^]*not ok)[^]*1\.\.\d/);
  t.is(status, 0);
});
