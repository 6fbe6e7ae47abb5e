import type { ExecutionContext, TestFn } from 'ava';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  ContainerState,
  CreateContainerRequest,
  ExecSyncRequest,
  ListContainersRequest,
  ListPodSandboxRequest,
  PodSandboxConfig,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import type { ContainerStatus, ContainerConfig } from '../../api/gen/cri.ts';
import { ImageStoreService } from '../../api/gen/proxmoxlxcri/v1/images.ts';
import { ServerClient } from '../../src/cli/client/server.ts';
import type { CallOptions } from '../../src/cli/client/server.ts';
import { run } from '../../src/host/processes/run.ts';
import { isErrno } from '../../src/utils/errors.ts';
import { exists } from '../../src/utils/fs/exists.ts';
import { accepts } from '../lib/accepts.ts';
import { eventually, HANG_MS } from '../lib/eventually.ts';
import { unmountBelow } from '../lib/mounts.ts';
import { programFile } from '../lib/program.ts';

/** Name of the image that every fixture has: Debian's static busybox. */
export const IMAGE = 'localhost/tiny:test';
const BUSYBOX = '/bin/busybox';
/** For calls that make something: many at once take long in a loaded guest. */
const PATIENT = { timeoutMs: HANG_MS };

/** A client whose calls have the time that a loaded guest needs. */
class PatientClient extends ServerClient {
  override call<Request, Response>(
    ...[method, request, options]: Parameters<typeof ServerClient.prototype.call<Request, Response>>
  ): Promise<Response> {
    return super.call(method, request, { ...PATIENT, ...options });
  }
}

/** What a fixture needs of the test or program that owns it. */
export type Owner = Pick<ExecutionContext, 'teardown' | 'log' | 'passed'>;

/** Writes an archive of {@link IMAGE}, packed once for all processes that have the same busybox. */
async function writeTiny(archive: string): Promise<void> {
  const pack = (file: string) => run('deploy/lib/pack-busybox', [BUSYBOX, file, IMAGE]);
  const { mtimeMs, size } = await stat(BUSYBOX);
  const shared = resolve('.cache', `tiny-${String(mtimeMs)}-${String(size)}.tar`);
  if (!(await exists(shared))) {
    await pack(archive);
    try {
      await mkdir(dirname(shared), { recursive: true });
      const own = `${shared}.${randomUUID()}`;
      await copyFile(archive, own);
      await rename(own, shared);
    } catch (error) {
      // In the test guest.
      if (!isErrno(error, 'EROFS')) throw error;
    }
    return;
  }
  await copyFile(shared, archive);
}

/** The cgroup that test/sandbox removes at the end; undefined outside of it. */
const testCgroup = process.env['PROXMOX_LXCRI_TEST_CGROUP'];
let subnets = 0;

/** The real server as a separate process, with its own directories, bridge and cgroup; all are removed after the test. */
export class ServerFixture {
  readonly directory: string;
  readonly cgroup: string;
  readonly socket: string;
  /** The ZFS dataset that has its images and root filesystems; undefined where they are on overlayfs. */
  readonly dataset: string | undefined;
  readonly #extra: string;
  readonly #prepared: number;
  readonly #source: { checkout: string; program: string };
  /** Name of its pods' bridge. */
  bridge = '';
  #process: ChildProcess | undefined;
  #attempt = 0;
  #isWarm = false;
  client: ServerClient;

  private constructor(
    directory: string,
    cgroup: string,
    { dataset, extra, prepared }: { dataset: string | undefined; extra: string; prepared: number },
    source: { checkout: string; program: string },
  ) {
    this.directory = directory;
    this.cgroup = cgroup;
    this.socket = join(directory, 'cri.sock');
    this.dataset = dataset;
    this.#extra = dataset === undefined ? extra : `${extra}\n[rootfs]\nstore = "zfs"\ndataset = "${dataset}"\n`;
    this.#source = source;
    this.#prepared = prepared;
    this.client = new PatientClient(`unix://${this.socket}`);
  }

  /**
   * Starts a server; `extra` is additional TOML for its configuration, `checkout` the directory of its sources,
   * `program` its main file, by default of the bundle, `dataset` an existing ZFS dataset for its images and root filesystems.
   * `prepared` is the number of networks that it prepares. Without `settled` it does not wait for the end of the server's recovery. The image {@link IMAGE} is present.
   */
  static async make(
    t: Owner,
    extra = '',
    {
      metrics = '',
      checkout = '.',
      program = '',
      settled = true,
      prepared = 0,
      dataset,
    }: {
      metrics?: string;
      checkout?: string;
      program?: string;
      settled?: boolean;
      prepared?: number;
      dataset?: string;
    } = {},
  ): Promise<ServerFixture> {
    if (testCgroup === undefined) throw new Error('run this below test/sandbox');
    const directory = await mkdtemp('/tmp/cri-');
    await chmod(directory, 0o711);
    const fixture = new ServerFixture(
      directory,
      `${testCgroup}/${directory.slice(5)}`,
      { dataset, extra, prepared },
      {
        checkout,
        program: program || (checkout === '.' ? programFile('main') : 'src/main.ts'),
      },
    );
    t.teardown(() => fixture.destroy(t));
    await fixture.#configure(metrics);
    await fixture.start({ settled });
    const archive = join(directory, 'tiny.tar');
    await writeTiny(archive);
    await fixture.client.call(ImageStoreService.import, { path: archive, reference: '' });
    return fixture;
  }

  async #configure(metrics: string): Promise<void> {
    // Fixtures of one run share a network namespace: each has its own bridge and address range.
    const number = process.pid % 200;
    subnets += 1;
    this.bridge = `t${String(process.pid)}n${String(subnets)}`.slice(0, 15);
    await mkdir(join(this.directory, 'cni'));
    const ipam = {
      type: 'host-local',
      dataDir: join(this.directory, 'ipam'),
      ranges: [[{ subnet: `10.${String(20 + number)}.${String(subnets)}.0/24` }]],
      routes: [{ dst: '0.0.0.0/0' }],
    };
    const plugins = [
      { type: 'bridge', bridge: this.bridge, isGateway: true, ipMasq: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ];
    const list = { cniVersion: '1.0.0', name: `net-${this.bridge}`, plugins };
    await writeFile(join(this.directory, 'cni', '10-test.conflist'), JSON.stringify(list));
    const toml = `
root = "${this.directory}/root"
state = "${this.directory}/state"
[grpc]
listen = "unix://${this.socket}"
[log]
level = "debug"
[metrics]
listen = "${metrics}"
[network]
config_dir = "${this.directory}/cni"
plugin_dirs = ["${resolve('test/fixtures/cni')}", "/usr/lib/cni"]
${this.#prepared > 0 ? `prepared = ${String(this.#prepared)}` : ''}
[runtime]
${this.#extra.includes('cgroup_parent') ? '' : `cgroup_parent = "${this.cgroup}"`}
${this.#extra}`;
    await writeFile(join(this.directory, 'config.toml'), toml);
  }

  /** Starts the server process and waits until it answers. */
  async start({ settled = true } = {}): Promise<void> {
    const before = await this.#settled();
    // The server writes the log itself: each line is there at once.
    await using log = await open(join(this.directory, 'server.log'), 'a');
    const serve = ['--disable-sigusr1', this.#source.program, 'serve', '--config', join(this.directory, 'config.toml')];
    const child = spawn(process.execPath, serve, {
      stdio: ['ignore', 'ignore', log.fd],
      detached: true,
      cwd: this.#source.checkout,
    });
    this.#process = child;
    const answer = () => this.client.call(RuntimeServiceService.version, { version: '' }).catch(() => undefined);
    const alive = async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`no server: ${(await this.log()).slice(-2000)}`);
    };
    await eventually('an answer of the server', async () => {
      await alive();
      return (await accepts(this.socket)) && answer();
    });
    if (!settled) return;
    await eventually('the end of the recovery', async () => {
      if ((await this.#settled()) > before) return true;
      await alive();
      return false;
    });
  }

  /** How often a server has logged the end of its recovery. */
  async #settled(): Promise<number> {
    const log = await this.log().catch(() => '');
    return log.split('Recovery succeeded').length;
  }

  /** Ends the server process; containers stay. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return ended;
  }

  /** Id of the server's process. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }

  log(): Promise<string> {
    return readFile(join(this.directory, 'server.log'), 'utf8');
  }

  /** The last warnings and errors in the server's log, and its end. */
  async #story(): Promise<string> {
    const lines = (await this.log()).trim().split('\n');
    const bad = lines.slice(0, -10).filter((line) => /"level":"(?:warn|error)"/.test(line));
    return [...bad.slice(-20), ...lines.slice(-10)].map((line) => line.slice(0, 1000)).join('\n');
  }

  /** How many streaming sessions this server and its predecessors on its directories have started or ended. */
  async streamingSessions(event: 'started' | 'ended'): Promise<number> {
    return (await this.log()).split(`Streaming session ${event}`).length - 1;
  }

  /** Runs a pod and returns its id. */
  async pod(name: string, config: Parameters<typeof PodSandboxConfig.create>[0] = {}, handler = ''): Promise<string> {
    const request = RunPodSandboxRequest.create({ config: this.podConfig(name, config), runtimeHandler: handler });
    return (await this.client.call(RuntimeServiceService.runPodSandbox, request, PATIENT)).podSandboxId;
  }

  podConfig(name: string, config: Parameters<typeof PodSandboxConfig.create>[0] = {}): PodSandboxConfig {
    this.#attempt += 1;
    const metadata = { name, namespace: 'test', uid: `${name}-${String(this.#attempt)}`, attempt: 0 };
    return PodSandboxConfig.create({ metadata, logDirectory: join(this.directory, 'logs', name), ...config });
  }

  /** Creates a container that logs to `<name>.log`, and returns its id. */
  async create(
    podSandboxId: string,
    name: string,
    config: Parameters<typeof ContainerConfig.create>[0],
    options: CallOptions = PATIENT,
  ): Promise<string> {
    const container = { metadata: { name, attempt: 0 }, image: { image: IMAGE }, logPath: `${name}.log`, ...config };
    const request = CreateContainerRequest.create({ podSandboxId, config: container });
    return (await this.client.call(RuntimeServiceService.createContainer, request, options)).containerId;
  }

  /** Creates and starts a container that runs `script` in a shell. */
  async sh(
    pod: string,
    name: string,
    script: string,
    config: Parameters<typeof ContainerConfig.create>[0] = {},
  ): Promise<string> {
    const id = await this.create(pod, name, { command: ['sh', '-c', script], ...config });
    await this.client.call(RuntimeServiceService.startContainer, { containerId: id }, PATIENT);
    return id;
  }

  async status(containerId: string): Promise<ContainerStatus> {
    const { status } = await this.client.call(RuntimeServiceService.containerStatus, { containerId, verbose: false });
    if (status === undefined) throw new Error('no status');
    return status;
  }

  /** Waits until a container has ended. */
  async exit(containerId: string): Promise<ContainerStatus> {
    return eventually(`the end of container ${containerId}`, async () => {
      const status = await this.status(containerId);
      return status.state === ContainerState.CONTAINER_EXITED && status;
    });
  }

  exec(containerId: string, ...cmd: string[]) {
    return this.client.call(
      RuntimeServiceService.execSync,
      ExecSyncRequest.create({ containerId, cmd, timeout: 300n }),
    );
  }

  /** What a container wrote to one stream, from its CRI log. */
  async output(pod: string, name: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<string> {
    const text = await readFile(join(this.directory, 'logs', pod, `${name}.log`), 'utf8');
    return text
      .split('\n')
      .map((line) => /^\S+ (stdout|stderr) ([PF]) (.*)$/s.exec(line))
      .map((match) => (match?.[1] === stream ? `${match[3] ?? ''}${match[2] === 'F' ? '\n' : ''}` : ''))
      .join('');
  }

  /**
   * Waits until a container has written a line to standard output: the earlier commands of its script are complete
   * then.
   */
  said(pod: string, name: string, line: string): Promise<true> {
    return eventually(`"${line}" from ${pod}/${name}`, async () =>
      (await this.output(pod, name)).split('\n').includes(line),
    );
  }

  /** Removes all pods with their containers. */
  async clear(): Promise<void> {
    const { items } = await this.client.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create());
    await Promise.all(
      items.map(({ id }) => this.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: id })),
    );
  }

  /**
   * Creates what a server creates once and keeps: runs and removes a pod on each handler the first time, and restarts
   * the server each time.
   */
  async warm(): Promise<void> {
    for (const handler of this.#isWarm ? [] : ['lxc', 'crun']) {
      const pod = await this.pod('warm', { portMappings: [{ containerPort: 80, hostPort: 20_999 }] }, handler);
      await this.exit(await this.sh(pod, 'warm', 'true'));
    }
    await this.clear();
    await this.end('SIGTERM');
    await this.start();
    this.#isWarm = true;
  }

  containers() {
    return this.client.call(RuntimeServiceService.listContainers, ListContainersRequest.create());
  }

  /** Removes the pods of a test and their logs; the server keeps running, or is restarted. */
  async reset(t: Owner): Promise<void> {
    if (!t.passed) t.log(await this.#story());
    if (this.#process?.exitCode !== null || this.#process.signalCode !== null) await this.start();
    await this.clear();
    await rm(join(this.directory, 'logs'), { recursive: true, force: true });
  }

  async destroy(t: Owner): Promise<void> {
    try {
      if (this.#process?.exitCode === null && this.#process.signalCode === null) await this.clear();
    } catch (error) {
      t.log('cannot remove the pods', error);
    }
    await this.end('SIGTERM');
    this.client[Symbol.dispose]();
    if (!t.passed) t.log(await this.#story().catch(() => ''));
    await run('ip', ['link', 'delete', this.bridge]).catch(() => undefined);
    await unmountBelow(this.directory);
    await rm(this.directory, { recursive: true, force: true });
  }
}

/**
 * One server for the tests of a file, started by the first of them; called once, at the top. The result is for one
 * test: the server has no pods, and those of the test are removed after it. `extra` is as in {@link ServerFixture.make}.
 */
export function oneServer(test: TestFn, extra = ''): (t: Owner) => Promise<ServerFixture> {
  const cleanup: (() => unknown)[] = [];
  const log = (...values: unknown[]) => void process.stderr.write(`${values.map(String).join(' ')}\n`);
  let made: Promise<ServerFixture> | undefined;
  test.after.always(async () => {
    for (const step of cleanup.reverse()) await step();
  });
  return async (t) => {
    const owner: Owner = { teardown: (step) => void cleanup.push(step), log: log as Owner['log'], passed: true };
    made ??= ServerFixture.make(owner, extra);
    const server = await made;
    t.teardown(() => server.reset(t));
    return server;
  };
}
