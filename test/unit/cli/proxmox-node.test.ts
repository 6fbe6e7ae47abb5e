import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkPrograms } from '../../../src/cli/doctor/programs.ts';
import { checkProxmoxNode } from '../../../src/cli/doctor/proxmox-node.ts';
import { configSchema } from '../../../src/core/config/schema.ts';
import { hasSpan, subordinateIds } from '../../../src/host/subordinate-ids.ts';
import { programEnv } from '../../../src/host/processes/programs.ts';
import { run } from '../../../src/host/processes/run.ts';

/** What a freshly installed node has, and the kubelet's ids. */
const FILES = {
  '/etc/pve/nodes/pve1/lrm_status': '',
  '/sys/module/apparmor/parameters/enabled': 'Y\n',
  '/proc/cmdline': 'BOOT_IMAGE=/boot/vmlinuz root=/dev/mapper/pve-root ro quiet\n',
  '/etc/subuid': 'root:100000:65536\nroot:65536:7208960\n',
  '/etc/subgid': 'root:100000:65536\n0:65536:7208960\n',
};

/** A node with these files; an undefined one is missing. */
async function node(t: ExecutionContext, changes: Record<string, string | undefined> = {}, layout = 'unified') {
  const root = await mkdtemp(join(tmpdir(), 'proxmox-node-'));
  t.teardown(() => rm(root, { recursive: true }));
  for (const [path, text] of Object.entries({ ...FILES, ...changes })) {
    if (text === undefined) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  const machine = { name: 'pve1.example', root, cgroups: () => Promise.resolve(layout as 'unified') };
  const bad = async () => (await checkProxmoxNode('pve1', machine)).filter(({ status }) => status !== 'ok');
  return { root, machine, bad };
}

test('a freshly installed node is fit', async (t) => {
  const { machine, bad } = await node(t);
  t.deepEqual(await bad(), []);
  const elsewhere = await checkProxmoxNode('pve2', machine);
  t.is(elsewhere.length, 1);
  t.like(elsewhere[0], { status: 'warning' });
  t.regex(elsewhere[0]?.found ?? '', /this machine is pve1, not pve2/);
});

test('a cluster file system that is not mounted is started', async (t) => {
  const { bad } = await node(t, { '/etc/pve/nodes/pve1/lrm_status': undefined });
  t.like((await bad())[0], { status: 'missing', commands: ['systemctl start pve-cluster'] });
});

test("root needs the kubelet's ids in both files", async (t) => {
  const { bad } = await node(t, {
    '/etc/subuid': 'root:100000:65536\nother:65536:7208960\n',
    '/etc/subgid': undefined,
  });
  const [finding, ...others] = await bad();
  t.deepEqual(others, []);
  t.like(finding, {
    status: 'warning',
    commands: ['echo root:65536:7208960 >> /etc/subuid', 'echo root:65536:7208960 >> /etc/subgid'],
  });
  t.regex(finding?.found ?? '', /^\/etc\/subuid does not give root 65536-7274495, .*hostUsers: false do not start$/);
});

test('the ids of a user kubelet are those that root needs', async (t) => {
  const own = 'kubelet:1000000:131072\nroot:1000000:65536\n';
  const { bad } = await node(t, { '/etc/subuid': own, '/etc/subgid': `${own}root:1065536:65536\n` });
  t.deepEqual(
    (await bad()).map(({ commands }) => commands),
    [['echo root:1000000:131072 >> /etc/subuid']],
  );
});

for (const [name, own] of [
  ['GRUB', false],
  ["Proxmox's boot tool", true],
] as const)
  test(`options of the kernel are removed with ${name}`, async (t) => {
    const line = 'quiet apparmor=0 systemd.unified_cgroup_hierarchy=0 splash';
    const file = own ? '/etc/kernel/cmdline' : '/etc/default/grub';
    const off = { '/proc/cmdline': `${line}\n`, '/sys/module/apparmor/parameters/enabled': 'N\n', [file]: line };
    const { root, bad } = await node(t, off, 'legacy');
    const findings = await bad();
    t.deepEqual(
      findings.map(({ subject, status }) => [subject, status]),
      [
        ['Proxmox cgroups', 'missing'],
        ['Proxmox AppArmor', 'warning'],
      ],
    );
    for (const { commands = [] } of findings) {
      t.is(commands[1], own ? 'proxmox-boot-tool refresh' : 'update-grub');
      await run('/bin/sh', ['-c', (commands[0] ?? '').replace('/etc/', `${root}/etc/`)]);
    }
    t.is(await readFile(join(root, file), 'utf8'), 'quiet splash');
  });

test('a kernel without AppArmor has no line to remove', async (t) => {
  const { bad } = await node(t, { '/sys/module/apparmor/parameters/enabled': undefined });
  t.is((await bad())[0]?.commands, undefined);
});

test('spans of ids overlap and continue each other', (t) => {
  const spans = subordinateIds('root:10:5\nroot:12:8\nroot:20:5\nbad\nroot:1:x\nother:25:9\n', ['root']);
  t.deepEqual(spans.length, 3);
  t.true(hasSpan(spans, { first: 10, count: 15 }));
  t.true(hasSpan(spans, { first: 13, count: 2 }));
  t.false(hasSpan(spans, { first: 10, count: 16 }));
  t.false(hasSpan(spans, { first: 9, count: 2 }));
  t.false(hasSpan([], { first: 0, count: 1 }));
});

test.serial("a node's lxc-start is of Proxmox's package, with which Debian's conflicts", async (t) => {
  const { root } = await node(t);
  const path = programEnv['PATH'];
  t.teardown(() => (programEnv['PATH'] = path));
  programEnv['PATH'] = root;
  const remedy = async () => {
    const findings = await checkPrograms(configSchema().parse({}));
    return findings.find(({ subject }) => subject === 'program lxc-start')?.remedy;
  };
  t.is(await remedy(), 'apt-get install lxc');
  await writeFile(join(root, 'pveversion'), '');
  await chmod(join(root, 'pveversion'), 0o755);
  t.is(await remedy(), 'apt-get install lxc-pve');
});
