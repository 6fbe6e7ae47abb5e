import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { Pveum } from '../fixtures/pveum/pveum.ts';
import { HANG_MS } from '../lib/eventually.ts';
import { programFile } from '../lib/program.ts';
import { writeScript } from '../lib/script.ts';

const NODE = hostname().split('.', 1)[0] ?? '';
const USER = `lxcri-${NODE}@pve`;

/** Parameters of the kernel; one has more than setup asks for. */
const SYSCTLS = {
  'net.ipv4.ip_forward': 0,
  'fs.inotify.max_user_instances': 128,
  'fs.inotify.max_user_watches': 2_000_000,
};

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A machine whose /etc is a directory of the test; with `proxmox` a node of Proxmox VE, by stand-ins. */
class Machine {
  readonly etc: string;
  readonly pveum = new Pveum();
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.etc = join(directory, 'etc');
  }

  static async make(t: ExecutionContext, { proxmox }: { proxmox: boolean }): Promise<Machine> {
    const directory = await mkdtemp(join(tmpdir(), 'setup-test-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const machine = new Machine(directory);
    await mkdir(machine.etc);
    await mkdir(join(directory, 'bin'));
    await mkdir(join(directory, 'sysctl'));
    for (const [name, value] of Object.entries(SYSCTLS)) await writeFile(join(directory, 'sysctl', name), `${value}\n`);
    await writeScript(
      join(directory, 'bin/sysctl'),
      `cd '${directory}/sysctl' || exit\nif [ "$1" = -n ]; then exec cat "$2"; fi\nshift 2\nfor each; do echo "\${each#*=}" >"\${each%%=*}"; done`,
    );
    if (!proxmox) return machine;
    await mkdir(join(machine.etc, 'pve/nodes', NODE), { recursive: true });
    await writeFile(
      join(machine.etc, 'pve/storage.cfg'),
      'dir: local\n\tpath /var/lib/vz\n\tcontent vztmpl\n\nzfspool: tank\n\tpool tank/data\n\tcontent rootdir\n',
    );
    await writeFile(
      join(machine.etc, 'pve/corosync.conf'),
      `nodelist {\n  node {\n    name: other\n    nodeid: 1\n  }\n  node {\n    name: ${NODE}\n    nodeid: 3\n  }\n}\ntotem {\n  cluster_name: lab\n}\n`,
    );
    await writeScript(
      join(directory, 'bin/pveversion'),
      'echo "pve-manager/9.1.1/42db4a6cf33dac83 (running kernel: 6.17.2-1-pve)"',
    );
    t.teardown(await machine.pveum.serve(join(directory, 'bin/pveum'), join(directory, 'socket')));
    return machine;
  }

  /** Runs setup as {@link run} does; `fails` are the words of a command of pveum that fails. */
  setup(args: readonly string[] = [], fails = ''): Promise<Ended> {
    this.pveum.fails = fails;
    return this.run('setup', ...args);
  }

  /** Runs a command of the program with a private /etc. */
  async run(...args: string[]): Promise<Ended> {
    const script = 'mount --bind "$1" /etc && shift && exec "$@"';
    const command = ['-m', 'sh', '-c', script, 'sh', this.etc, process.execPath, programFile('main'), ...args];
    const env = {
      ...process.env,
      PATH: `${join(this.#directory, 'bin')}:${process.env['PATH'] ?? ''}`,
    };
    try {
      return { code: 0, ...(await run('unshare', command, { env, timeoutMs: HANG_MS })) };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return { code: error.exitCode ?? -1, stdout: error.stdout, stderr: error.stderr };
    }
  }

  /** Every file of /etc with its mode and content, and the access of the cluster. */
  async tree(): Promise<string[]> {
    const entries = await readdir(this.etc, { recursive: true, withFileTypes: true });
    const lines = entries.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      const { mode } = await stat(path);
      return `${path} ${mode.toString(8)} ${entry.isFile() ? await readFile(path, 'utf8') : ''}`;
    });
    return [...(await Promise.all(lines)).sort(), JSON.stringify(this.pveum.state)];
  }

  /** The parameters of the kernel by now. */
  async sysctls(): Promise<Record<string, number>> {
    const values = Object.keys(SYSCTLS).map(async (name) => {
      return [name, Number(await readFile(join(this.#directory, 'sysctl', name), 'utf8'))] as const;
    });
    return Object.fromEntries(await Promise.all(values));
  }

  read(path: string): Promise<string> {
    return readFile(join(this.etc, path), 'utf8');
  }
}

test('setup writes configuration, token and privileges of a node', async (t) => {
  const machine = await Machine.make(t, { proxmox: true });
  const before = await machine.tree();
  const planned = await machine.setup(['--dry-run']);
  t.is(planned.code, 0, planned.stderr);
  t.regex(planned.stdout, /would +token .*privilege separation/);
  t.deepEqual([await machine.tree(), await machine.sysctls()], [before, SYSCTLS]);

  const { code, stdout, stderr } = await machine.setup();
  t.is(code, 0, stderr);
  t.regex(stdout, new RegExp(`Proxmox VE +9\\.1\\.1, node ${NODE}, cluster lab, ZFS storage tank`));
  t.regex(stdout, /kubeadm join --cri-socket unix:\/\/\/run\/proxmox-lxcri\/proxmox-lxcri\.sock/);
  t.false(stdout.includes('01234567'));
  const token = join(machine.etc, 'proxmox-lxcri/token');
  t.is((await stat(token)).mode & 0o777, 0o600);
  t.is(await readFile(token, 'utf8'), '01234567-89ab-cdef-0123-456789abcdef\n');
  const config = await machine.read('proxmox-lxcri/config.toml');
  t.regex(config, /^storage = "tank"$/m);
  t.regex(config, new RegExp(`^vmids = .*${NODE} = \\{ first = 100600, size = 300 \\}`, 'm'));
  const { users, pools, acl, roles } = machine.pveum.state;
  t.deepEqual([users, pools], [{ [USER]: ['node'] }, ['k8s']]);
  t.is(roles['LxcriCluster'], 'Sys.Audit,Sys.Modify');
  t.deepEqual(
    acl.filter(({ path }) => path === '/').map(({ ugid, roleid, propagate }) => [ugid, roleid, propagate]),
    [USER, `${USER}!node`].map((id) => [id, 'LxcriCluster', 0]),
  );
  const set = { 'net.ipv4.ip_forward': 1, 'fs.inotify.max_user_instances': 8192 };
  t.deepEqual(await machine.sysctls(), { ...SYSCTLS, ...set });
  t.regex(await machine.read('sysctl.d/60-proxmox-lxcri.conf'), /^fs\.inotify\.max_user_instances = 8192$/m);
  t.regex(await machine.read('modules-load.d/proxmox-lxcri.conf'), /^overlay$/m);
  t.false('LxcriMachines' in roles, 'privileges for VMs only');

  const made = await machine.tree();
  const again = await machine.setup();
  t.is(again.code, 0, again.stderr);
  t.notRegex(again.stdout, /^done/m);
  t.deepEqual(await machine.tree(), made);

  const removed = await machine.setup(['--remove']);
  t.is(removed.code, 0, removed.stderr);
  t.deepEqual(await machine.tree(), before);
});

for (const fails of ['user token add', `acl modify / --tokens`])
  test(`setup leaves nothing when "${fails}" fails`, async (t) => {
    const machine = await Machine.make(t, { proxmox: true });
    const before = await machine.tree();
    const { code, stderr } = await machine.setup([], fails);
    t.is(code, 1);
    t.regex(stderr, /pveum.*no quorum/);
    t.deepEqual(await machine.tree(), before);
  });

test('a later run that fails keeps what an earlier one made', async (t) => {
  const machine = await Machine.make(t, { proxmox: true });
  t.is((await machine.setup()).code, 0);
  const { state } = machine.pveum;
  state.acl = state.acl.filter(({ path }) => path !== '/');
  const changed = await machine.tree();
  t.is((await machine.setup([], 'acl modify / --tokens')).code, 1);
  t.deepEqual(await machine.tree(), changed);
});

test('removal keeps what was changed or is used by others', async (t) => {
  const machine = await Machine.make(t, { proxmox: true });
  t.is((await machine.setup()).code, 0);
  await writeFile(join(machine.etc, 'proxmox-lxcri/config.toml'), 'version = 1\n');
  const other = { path: '/vms', type: 'user', ugid: 'a@pve', roleid: 'LxcriNode', propagate: 1 } as const;
  const { state } = machine.pveum;
  state.users[USER]?.push('mine');
  state.acl.push(other);
  state.roles['LxcriGuests'] = 'VM.Audit';
  const { code, stdout, stderr } = await machine.setup(['--remove', '-o', 'json']);
  t.is(code, 0, stderr);
  const { steps } = JSON.parse(stdout) as { steps: { step: string; outcome: string; text: string }[] };
  t.deepEqual(
    steps
      .filter(({ outcome }) => outcome === 'kept')
      .map(({ step, text }) => `${step}: ${text}`)
      .sort(),
    [
      'directory /etc/proxmox-lxcri: it is not empty',
      'file /etc/proxmox-lxcri/config.toml: it was changed since',
      'role LxcriGuests: its privileges were changed since',
      'role LxcriNode: others have it',
      `user ${USER}: it has other tokens`,
    ],
  );
  t.deepEqual(await readdir(join(machine.etc, 'proxmox-lxcri')), ['config.toml']);
  t.deepEqual(state.acl, [other]);
  t.regex((await machine.setup(['--remove'])).stdout, /setup has made nothing/);
});

test('a configuration that exists stays, and its token is used', async (t) => {
  const machine = await Machine.make(t, { proxmox: true });
  const text =
    '[proxmox]\nhosts = ["localhost"]\nca_file = "/etc/pve/pve-root-ca.pem"\ntoken_id = "own@pve!mine"\ntoken_file = "/etc/proxmox-lxcri/own"\n';
  await mkdir(join(machine.etc, 'proxmox-lxcri'));
  await writeFile(join(machine.etc, 'proxmox-lxcri/config.toml'), `version = 1\n${text}`);
  const { code, stdout, stderr } = await machine.setup();
  t.is(code, 0, stderr);
  t.regex(stdout, /found +configuration .*exists and stays; setup would have written proxmox\.token_id = /);
  t.is(await machine.read('proxmox-lxcri/config.toml'), `version = 1\n${text}`);
  t.deepEqual(await readdir(join(machine.etc, 'proxmox-lxcri')), ['config.toml', 'own', 'setup.json']);
  const { users, pools } = machine.pveum.state;
  t.deepEqual([users, pools], [{ 'own@pve': ['mine'] }, []]);
  await rm(join(machine.etc, 'proxmox-lxcri/own'));
  t.regex((await machine.setup()).stderr, /token own@pve!mine exists, but not .*own.*user token remove/);
});

test('setup outside of Proxmox writes defaults', async (t) => {
  const machine = await Machine.make(t, { proxmox: false });
  const before = await machine.tree();
  const { code, stdout, stderr } = await machine.setup();
  t.is(code, 0, stderr);
  t.regex(stdout, /Proxmox VE +not installed/);
  t.regex(await machine.read('crictl.yaml'), /^runtime-endpoint: unix:\/\/\/run\/proxmox-lxcri\/proxmox-lxcri\.sock$/m);
  t.regex(await machine.read('proxmox-lxcri/config.toml'), /^#hosts = /m);
  t.is((await machine.setup(['--remove'])).code, 0);
  t.deepEqual(await machine.tree(), before);
});

test('doctor --fix runs the steps that have something to do', async (t) => {
  const machine = await Machine.make(t, { proxmox: false });
  const fixed = async () => {
    const { stdout } = await machine.run('doctor', '--fix', '-o', 'json');
    const report = JSON.parse(stdout) as { fixed: { step: string; outcome: string }[]; findings: unknown[] };
    t.not(report.findings.length, 0);
    return report.fixed.map(({ step, outcome }) => `${outcome} ${step}`);
  };
  t.deepEqual(await fixed(), [
    'done configuration /etc/proxmox-lxcri/config.toml',
    'done kernel modules',
    'done kernel parameters',
    'done /etc/crictl.yaml',
  ]);
  t.deepEqual(await fixed(), []);
  await rm(join(machine.etc, 'sysctl.d/60-proxmox-lxcri.conf'));
  t.deepEqual(await fixed(), ['done kernel parameters']);
});
