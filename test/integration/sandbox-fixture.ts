import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { CrunSandboxProvider } from '../../src/backends/crun/crun-sandbox-provider.ts';
import { LxcSandboxProvider } from '../../src/backends/lxc/lxc-sandbox-provider.ts';
import type { Logger } from '../../src/core/model/logger.ts';
import type { Placement, SandboxProvider, SandboxSpec } from '../../src/core/model/sandbox-provider.ts';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS } from '../lib/eventually.ts';
import { testCgroup } from './runner-fixture.ts';

/** The capabilities that containers have by default. */
const ORDINARY =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`);

/** The kubelet's defaults. */
const MASKED = ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/sched_debug', '/proc/scsi'];
const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const ATTACKER = new URL('../fixtures/attacker/attacker.c', import.meta.url).pathname;

/** Sandboxes of one provider with their own directory and cgroup; all are removed after the test. */
export class SandboxFixture {
  readonly directory: string;
  readonly cgroup: string;
  readonly exits: string[] = [];
  readonly log: string[] = [];
  readonly provider: SandboxProvider;
  readonly #make: (state: string, logger: Logger) => SandboxProvider;
  #attacker: Promise<unknown> | undefined;

  private constructor(directory: string, cgroup: string, make: (state: string, logger: Logger) => SandboxProvider) {
    this.directory = directory;
    this.cgroup = cgroup;
    this.#make = make;
    this.provider = this.again();
  }

  static async make(
    t: ExecutionContext,
    make: (state: string, logger: Logger) => SandboxProvider,
    parent = '/tmp',
  ): Promise<SandboxFixture> {
    if (testCgroup === undefined) throw new Error('run this below test/sandbox');
    const directory = await mkdtemp(join(parent, 'sandbox-'));
    // The root of a pod's user namespace has no access here, as to the server's state directory.
    await chmod(directory, 0o711);
    const fixture = new SandboxFixture(directory, `${testCgroup}/${directory.slice(-6)}`, make);
    t.teardown(async () => {
      for (const id of await fixture.provider.list()) await fixture.provider.discard(id);
      await rm(directory, { recursive: true, force: true });
    });
    const rootfs = join(directory, 'rootfs');
    for (const name of ['bin', 'proc', 'dev']) await mkdir(join(rootfs, name), { recursive: true });
    await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'));
    for (const applet of ['sh', 'sleep']) await symlink('busybox', join(rootfs, 'bin', applet));
    return fixture;
  }

  /** A provider on the same state, as after a restart of the server. */
  again(): SandboxProvider {
    const note = (message: string) => void this.log.push(message);
    const logger: Logger = { debug: note, info: note, warn: note, error: note, with: () => logger };
    const provider = this.#make(join(this.directory, 'state'), logger);
    provider.onExit((id) => this.exits.push(id));
    return provider;
  }

  /** Creates and starts a sandbox; one that fails is removed, as the pod service does. */
  async run(spec: SandboxSpec): Promise<Placement> {
    try {
      const made = await this.provider.create(spec, () => Promise.resolve());
      return await this.provider.start(made);
    } catch (error) {
      await this.provider.remove({ spec });
      throw error;
    }
  }

  /** The placement of a sandbox according to the provider; undefined when it does not run. */
  async placement(spec: SandboxSpec, provider = this.provider): Promise<Placement | undefined> {
    const status = await provider.adopt({ spec });
    return status.state === 'running' ? status.placement : undefined;
  }

  async spec(more: Partial<SandboxSpec> = {}): Promise<SandboxSpec> {
    const id = more.id ?? randomBytes(32).toString('hex');
    const runDir = join(this.directory, 'run', id);
    await mkdir(runDir, { recursive: true, mode: 0o700 });
    return {
      id,
      pod: { name: 'pod-1', namespace: 'test', uid: id, attempt: 0 },
      annotations: {},
      hostname: 'pod-1',
      network: 'pod',
      ipc: 'pod',
      pid: 'container',
      sysctls: {},
      cgroupParent: `${this.cgroup}/kubepods/besteffort/pod1`,
      runDir,
      ...more,
    };
  }

  /** Runs a shell script in a container of the sandbox, with crun alone; returns the container's id. */
  async container(placement: Placement, script = 'while :; do sleep 1; done'): Promise<string> {
    const { id, bundle } = await this.#bundle(placement, ['sh', '-c', script]);
    // Its output is discarded, or the container would keep this command's output open.
    const start = 'exec crun "--root=$1" run --detach "--bundle=$2" "$3" </dev/null >/dev/null 2>&1';
    await run('sh', ['-c', start, 'sh', join(this.directory, 'crun'), bundle, id]);
    return id;
  }

  /** Runs a command of the test's attacker in an ordinary container of the sandbox and returns its output. */
  async attack(placement: Placement, command: string, capabilities = ORDINARY): Promise<string> {
    this.#attacker ??= run('cc', ['-static', '-O1', '-o', join(this.directory, 'rootfs/bin/attacker'), ATTACKER]);
    await this.#attacker;
    const { id, bundle } = await this.#bundle(placement, ['attacker', ...command.split(' ')], capabilities);
    const { stdout } = await run('crun', [`--root=${join(this.directory, 'crun')}`, 'run', `--bundle=${bundle}`, id], {
      timeoutMs: HANG_MS,
    });
    return stdout;
  }

  async #bundle(
    placement: Placement,
    args: string[],
    capabilities?: string[],
  ): Promise<{ id: string; bundle: string }> {
    const id = randomBytes(32).toString('hex');
    const bundle = join(this.directory, 'bundles', id);
    await mkdir(bundle, { recursive: true });
    const { network, ipc, uts, pid } = placement.namespaces;
    const namespace = (type: string, path?: string) => ({ type, ...(path !== undefined && { path }) });
    const namespaces = [namespace('mount'), namespace('pid', pid)];
    if (network !== undefined) namespaces.push(namespace('network', network));
    if (ipc !== undefined) namespaces.push(namespace('ipc', ipc));
    if (uts !== undefined) namespaces.push(namespace('uts', uts));
    const config = {
      ociVersion: '1.0.2',
      root: { path: join(this.directory, 'rootfs'), readonly: true },
      process: {
        user: { uid: 0, gid: 0 },
        args,
        env: ['PATH=/bin'],
        cwd: '/',
        ...(capabilities !== undefined && {
          capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        }),
      },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      ],
      linux: {
        namespaces,
        cgroupsPath: `${placement.cgroup}/${id}`,
        resources: {},
        ...(capabilities !== undefined && { maskedPaths: MASKED, readonlyPaths: READONLY }),
      },
    };
    await writeFile(join(bundle, 'config.json'), JSON.stringify(config));
    return { id, bundle };
  }
}

export const lxc = (state: string, logger: Logger) =>
  new LxcSandboxProvider({ lxcPath: state, programs: `${state}/.programs`, logger });

export const crun = (state: string, logger: Logger) =>
  new CrunSandboxProvider({ statePath: state, programs: `${state}/.programs`, logger });

/** Runs a command in the namespaces of a placement and returns its output, trimmed. */
export async function inside(placement: Placement, ...command: string[]): Promise<string> {
  const { network, ipc, uts } = placement.namespaces;
  const flags = [
    ...(network === undefined ? [] : [`--net=${network}`]),
    ...(ipc === undefined ? [] : [`--ipc=${ipc}`]),
    ...(uts === undefined ? [] : [`--uts=${uts}`]),
  ];
  return (await run('nsenter', [...flags, '--', ...command])).stdout.trim();
}

/** The identity of a namespace, to compare. */
export async function identity(path: string): Promise<string> {
  const { stdout } = await run('stat', ['-L', '-c', '%i', '--', path]);
  return stdout.trim();
}

/** The identity of one of this process's own namespaces. */
export async function own(kind: 'net' | 'ipc' | 'uts'): Promise<string> {
  return /\d+/.exec(await readlink(`/proc/self/ns/${kind}`))?.[0] ?? '';
}

/** Parent of a process. */
export async function parentOf(pid: number): Promise<number> {
  return Number(/^PPid:\s*(\d+)/m.exec(await readFile(`/proc/${String(pid)}/status`, 'utf8'))?.[1]);
}
