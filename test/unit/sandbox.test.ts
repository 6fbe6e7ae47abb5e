import { spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import anyTest, { type TestFn } from 'ava';

const sandbox = new URL('../sandbox', import.meta.url).pathname;
const test = (process.getuid?.() === 0 ? anyTest : anyTest.skip) as TestFn;

interface Ended {
  code: number | null;
  output: string;
}

async function run(script: string, meanwhile?: (pid: number) => void): Promise<Ended> {
  const child = spawn(sandbox, ['sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.once('data', () => meanwhile?.(child.pid!));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { output: await text(child.stdout), code: await ended };
}

test('the exit code is the command’s', async (t) => {
  t.is((await run('exit 7')).code, 7);
});

test('a signal reaches the command', async (t) => {
  const ended = await run('trap "exit 9" TERM; echo ready; sleep 60 & wait', (pid) => process.kill(pid, 'SIGTERM'));
  t.is(ended.code, 9);
});

test('the sandbox has its own network and processes', async (t) => {
  const { output } = await run('ls /sys/class/net; ls /proc | grep -c "^[0-9]*$"; ls -d /run/systemd 2>&1; id -u');
  const [network, processes, systemd, user] = output.trim().split('\n');
  t.is(network, 'lo');
  t.true(Number(processes) < 10);
  t.regex(systemd!, /No such file/);
  t.is(user, '0');
});

test('mounts, daemons and cgroups end with the sandbox', async (t) => {
  const mounts = async () => (await readFile('/proc/self/mounts', 'utf8')).match(/^\S+ \/mnt(\/| ).*$/gm);
  const before = await mounts();
  const { code, output } = await run(`
    set -e
    echo "$PROXMOX_LXCRI_TEST_CGROUP"
    mount -t tmpfs tmpfs /mnt
    ip link add probe0 type veth peer name probe1
    setsid sleep 12345 &
    for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
      group=$root$PROXMOX_LXCRI_TEST_CGROUP
      [ -d "$group" ] || continue
      mkdir -p "$group/inner/most"
      if [ -e "$group/inner/freezer.state" ]; then
        echo $! >"$group/inner/most/cgroup.procs"
        echo FROZEN >"$group/inner/freezer.state"
      fi
    done
  `);
  t.is(code, 0);
  // Other tests use the machine meanwhile: only what was made here is looked for.
  t.deepEqual(await mounts(), before);
  t.deepEqual(
    (await readdir('/sys/class/net')).filter((name) => name.startsWith('probe')),
    [],
  );
  for (const hierarchy of ['', ...(await readdir('/sys/fs/cgroup'))]) {
    const names = await readdir(`/sys/fs/cgroup/${hierarchy}`).catch((): string[] => []);
    t.false(names.includes(output.trim().slice(1)));
  }
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    t.false((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('sleep\x0012345'));
  }
});
