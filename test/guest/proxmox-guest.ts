import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { defaultInit } from '../../src/backends/pause-rootfs.ts';
import { ConmonRunner } from '../../src/backends/conmon/conmon-runner.ts';
import type { ContainerExit } from '../../src/core/model/container-runner.ts';
import type { Logger } from '../../src/core/model/logger.ts';
import type { OciProcess, OciResources, OciSpec } from '../../src/core/model/oci-runtime.ts';
import type { Placement } from '../../src/core/model/sandbox-provider.ts';
import { findNative } from '../../src/host/native/find.ts';
import { removeCgroup } from '../../src/host/cgroup/remove.ts';
import { run } from '../../src/host/processes/run.ts';
import { systemClock } from '../../src/utils/time/system-clock.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { outputOf, parseLog } from '../integration/runner-fixture.ts';
import { initPid, isRunning, limitingCgroup } from '../pve/lxc/machine/command-socket.ts';
import { writeLxcFiles } from '../pve/lxc/files.ts';
import { LxcProcess, makeNodeFiles, StartFailure } from '../pve/lxc/process.ts';
import { parseGuestConfig } from '../pve/guest-config/parse.ts';

const APPLETS = 'sh cat dd echo grep head hostname id ip ls mkdir mknod sleep stat tail touch true'.split(' ');
const CGROUPS = '/sys/fs/cgroup';

/** What a test requires of its guest. */
export interface GuestOptions {
  unprivileged?: boolean;
  /** MiB, Proxmox's limit on the guest. */
  memory?: number;
  /** A cgroup of the kubelet that becomes the guest's parent; by default Proxmox's own path, `lxc/<vmid>`. */
  cgroupParent?: string;
  /** Further lines of the file that the guest's configuration includes. */
  include?: readonly (readonly [key: string, value: string])[];
}

let nextVmid = 9000;

/**
 * A container as Proxmox VE starts it: its generated configuration, which ends with an include of ours, and `lxc-start` in
 * the foreground as its unit runs it. What containers run in it is a pod's. All of it goes with the test.
 */
export class ProxmoxGuest {
  readonly vmid: number;
  readonly directory: string;
  readonly exits: ContainerExit[] = [];
  /** The guest's cgroup, which has Proxmox's limits; containers are below it. */
  readonly cgroup: string;
  readonly runner: ConmonRunner;
  readonly #options: GuestOptions;
  #process: LxcProcess | undefined;

  private constructor(vmid: number, directory: string, options: GuestOptions) {
    this.vmid = vmid;
    this.directory = directory;
    this.#options = options;
    this.cgroup = `${options.cgroupParent ?? '/lxc'}/${String(vmid)}`;
    const logger: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
      with: () => logger,
    };
    const settings = { stateDir: join(directory, 'state'), ociRuntime: 'crun', conmon: 'conmon', execDrainMs: 300 };
    this.runner = new ConmonRunner({ ...settings, logger, clock: systemClock });
    this.runner.onExit((exit) => this.exits.push(exit));
  }

  static async make(t: ExecutionContext, options: GuestOptions = {}): Promise<ProxmoxGuest> {
    const directory = await mkdtemp('/tmp/pve-');
    const guest = new ProxmoxGuest(nextVmid++, directory, options);
    t.teardown(() => guest.#remove());
    await chmod(directory, 0o755);
    await guest.#makeRootfs();
    const hook = `${findNative()} hook`;
    const include: [string, string][] = [
      // Device rules of containers are set on their own cgroups.
      ['lxc.cgroup2.devices.deny', ''],
      ['lxc.cgroup2.devices.allow', ''],
      // Proxmox stops with SIGPWR, which a pause program ignores.
      ['lxc.signal.halt', 'SIGTERM'],
      ['lxc.hook.pre-start', `${hook} pre-start ${guest.permit}`],
      ['lxc.hook.stop', `${hook} stop ${CGROUPS}${guest.cgroup}`],
      ['lxc.hook.post-stop', `${hook} post-stop`],
    ];
    if (options.cgroupParent !== undefined) {
      include.push(['lxc.cgroup.dir.container', guest.cgroup.slice(1)]);
      include.push(['lxc.cgroup.dir.monitor', `${guest.cgroup.slice(1)}.monitor`]);
    }
    const lines = [...include, ...(options.include ?? [])].map(([key, value]) => `${key} = ${value}\n`);
    await writeFile(join(directory, 'include.conf'), lines.join(''));
    const conf = {
      arch: 'amd64',
      entrypoint: '/catatonit -P',
      memory: options.memory ?? 512,
      ostype: 'unmanaged',
      rootfs: `local:subvol-${guest.name}-disk-0`,
      swap: 0,
      ...(options.unprivileged && { unprivileged: 1 }),
      'lxc.include': join(directory, 'include.conf'),
    };
    const text = Object.entries(conf).map(([key, value]) => `${key}: ${String(value)}\n`);
    const { config } = parseGuestConfig(text.join(''), guest.vmid, 9);
    writeLxcFiles(config, { vmid: guest.vmid, version: 9, lxcPath: directory });
    await makeNodeFiles(guest.#nodeFiles);
    return guest;
  }

  get name(): string {
    return String(this.vmid);
  }

  get #nodeFiles(): string {
    return join(this.directory, 'node-files');
  }

  /** The file whose presence allows one start. */
  get permit(): string {
    return join(this.directory, 'permit');
  }

  async #makeRootfs(): Promise<void> {
    const rootfs = join(this.directory, this.name, 'rootfs');
    for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp']) await mkdir(join(rootfs, name), { recursive: true });
    await chmod(join(rootfs, 'tmp'), 0o1777);
    await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'));
    for (const applet of APPLETS) await symlink('busybox', join(rootfs, 'bin', applet));
    await copyFile(defaultInit, join(rootfs, 'catatonit'));
    await chmod(join(rootfs, 'catatonit'), 0o755);
    if (this.#options.unprivileged) await run('chown', ['-R', '100000:100000', rootfs]);
  }

  /** Leaves the permit for one start, as the server does before it asks Proxmox to start. */
  async allow(): Promise<void> {
    await writeFile(this.permit, '', { mode: 0o600 });
  }

  /** Starts the guest as its unit does. @throws Error with the output of lxc-start when that exits instead. */
  async start(): Promise<void> {
    // Hooks log at this level only.
    const log = join(this.directory, 'lxc.log');
    await rm(log, { force: true });
    const start = LxcProcess.start(this.#nodeFiles, this.directory, this.vmid, '-o', log, '-l', 'DEBUG');
    this.#process = await start.catch(async (error: unknown) => {
      if (!(error instanceof StartFailure)) throw error;
      throw new Error(`lxc-start ended: ${await readFile(log, 'utf8')}`);
    });
  }

  /** Waits until the program that its unit started has ended: from then on nothing can start the guest again. */
  async ended(): Promise<void> {
    await this.#process?.ended;
  }

  isRunning(): Promise<boolean> {
    return isRunning(this.directory, this.vmid);
  }

  /** The output of `lxc-<command> -n <vmid>`, also of a failed one. */
  async lxc(command: string, ...args: string[]): Promise<string> {
    const all = ['-P', this.directory, '-n', this.name, ...args];
    const { stdout, stderr } = await run(`lxc-${command}`, all).catch((error: unknown) => {
      return error as { stdout: string; stderr: string };
    });
    return (stdout || stderr).trim();
  }

  /** The cgroup that liblxc's monitor reports for limits, as Proxmox requests it before it reads usage. */
  limitingCgroup(): Promise<string> {
    return limitingCgroup(this.directory, this.vmid);
  }

  init(): Promise<number> {
    return initPid(this.directory, this.vmid);
  }

  /** Where the pod's containers are placed. */
  async placement(): Promise<Placement> {
    const pid = await this.init();
    const namespaces = Object.fromEntries(
      (['net', 'ipc', 'uts', 'pid', 'user'] as const).map((name) => [name, `/proc/${String(pid)}/ns/${name}`]),
    );
    return {
      namespaces: {
        network: namespaces['net'],
        ipc: namespaces['ipc'],
        uts: namespaces['uts'],
        pid: namespaces['pid'],
      },
      cgroup: this.cgroup,
      monitorCgroup: `${this.#options.cgroupParent ?? ''}/pods-${this.name}.monitor`,
    } as Placement;
  }

  process(script: string): OciProcess {
    const user = { uid: 0, gid: 0 };
    return { terminal: false, user, args: ['sh', '-c', script], env: ['PATH=/bin'], cwd: '/', noNewPrivileges: true };
  }

  /** Starts a container of the pod and returns its id. */
  async container(
    script: string,
    { resources = {}, change }: { resources?: OciResources; change?: (spec: OciSpec) => void | Promise<void> } = {},
  ): Promise<string> {
    const id = randomBytes(32).toString('hex');
    const placement = await this.placement();
    const { network = '', ipc = '', uts = '' } = placement.namespaces;
    const spec: OciSpec = {
      ociVersion: '1.0.2',
      root: { path: join(this.directory, this.name, 'rootfs'), readonly: true },
      process: this.process(script),
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64m'] },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=1777'] },
      ],
      linux: {
        namespaces: [
          { type: 'mount' },
          { type: 'pid' },
          { type: 'network', path: network },
          { type: 'ipc', path: ipc },
          { type: 'uts', path: uts },
        ],
        cgroupsPath: `${placement.cgroup}/${id}`,
        resources,
      },
    };
    await change?.(spec);
    const logPath = join(this.directory, `${id}.log`);
    await this.runner.create({ id, spec, placement, logPath, stdin: false, stdinOnce: false });
    await this.runner.start(id);
    return id;
  }

  exec(id: string, script: string) {
    return this.runner.exec(id, this.process(script), { timeoutMs: HANG_MS, maxOutputBytes: 1_000_000 });
  }

  /** What a container has written to a stream so far. */
  async output(id: string, stream = 'stdout'): Promise<string> {
    return outputOf(parseLog(await readFile(join(this.directory, `${id}.log`))), stream).toString('utf8');
  }

  exit(id: string): Promise<ContainerExit> {
    return eventually(`the exit of ${id}`, () => this.exits.find((exit) => exit.id === id));
  }

  /** A file of a cgroup, without its line break. */
  async read(file: string, cgroup = this.cgroup): Promise<string> {
    return (await readFile(`${CGROUPS}${cgroup}/${file}`, 'utf8')).trim();
  }

  async #remove(): Promise<void> {
    await this.lxc('stop', '-k');
    for (const id of await this.runner.list()) await this.runner.remove(id);
    this.runner.close();
    await this.ended();
    const parent = this.#options.cgroupParent ?? '';
    await removeCgroup(
      [this.cgroup, `${this.cgroup}.monitor`, `${parent}/pods-${this.name}.monitor`, `/lxc.monitor/${this.name}`].map(
        (path) => CGROUPS + path,
      ),
    );
    await rm(this.directory, { recursive: true, force: true });
  }
}
