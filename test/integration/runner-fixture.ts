import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { ConmonRunner } from '../../src/backends/conmon/conmon-runner.ts';
import type { ContainerExit } from '../../src/core/model/container-runner.ts';
import type { Logger } from '../../src/core/model/logger.ts';
import type { OciProcess, OciResources, OciSpec } from '../../src/core/model/oci-runtime.ts';
import { systemClock } from '../../src/utils/time/system-clock.ts';
import { eventually } from '../lib/eventually.ts';

const APPLETS = 'sh cat chmod dd echo head kill ls mkdir ps readlink rm seq setsid sleep tail true usleep [ yes'.split(
  ' ',
);

/** The cgroup that test/sandbox removes at the end; undefined outside of it. */
export const testCgroup = process.env['PROXMOX_LXCRI_TEST_CGROUP'];

/** An init that reaps its children, so that killed ones do not stay as zombies. */
export const IDLE = 'while :; do usleep 50000; done';

export interface NewContainer {
  resources?: OciResources;
  log?: boolean;
  /** Replaces the fixture's own. */
  logPath?: string;
  terminal?: boolean;
  stdin?: boolean;
  stdinOnce?: boolean;
  change?: (spec: OciSpec) => void;
}

/** A runner with its own directory and cgroup, and a busybox root filesystem; all are removed after the test. */
export class RunnerFixture {
  readonly directory: string;
  readonly cgroup: string;
  readonly warnings: string[] = [];
  readonly exits: ContainerExit[] = [];
  readonly #ociRuntime: string;
  runner: ConmonRunner;

  private constructor(directory: string, cgroup: string, ociRuntime: string) {
    this.directory = directory;
    this.#ociRuntime = ociRuntime;
    this.cgroup = cgroup;
    this.runner = this.newRunner();
  }

  /** @param ociRuntime a program in place of crun. */
  static async make(t: ExecutionContext, ociRuntime = 'crun'): Promise<RunnerFixture> {
    if (testCgroup === undefined) throw new Error('run this below test/sandbox');
    const directory = await mkdtemp('/tmp/runner-');
    const fixture = new RunnerFixture(directory, `${testCgroup}/${directory.slice(5)}`, ociRuntime);
    t.teardown(async () => {
      for (const id of await fixture.runner.list()) await fixture.runner.remove(id);
      fixture.runner.close();
      await rm(directory, { recursive: true, force: true });
    });
    const rootfs = join(directory, 'rootfs');
    for (const name of ['bin', 'proc', 'dev', 'tmp']) await mkdir(join(rootfs, name), { recursive: true });
    await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'));
    for (const applet of APPLETS) await symlink('busybox', join(rootfs, 'bin', applet));
    fixture.runner.onExit((exit) => fixture.exits.push(exit));
    return fixture;
  }

  /** Another runner on the same directory, as after a restart of the server. */
  newRunner(ociRuntime = this.#ociRuntime): ConmonRunner {
    const log = (message: string) => void this.warnings.push(message);
    const logger: Logger = { debug: () => undefined, info: () => undefined, warn: log, error: log, with: () => logger };
    const stateDir = join(this.directory, 'state');
    return new ConmonRunner({
      stateDir,
      ociRuntime,
      conmon: 'conmon',
      execDrainMs: 300,
      logger,
      clock: systemClock,
    });
  }

  bundle(id: string): string {
    return join(this.directory, 'state/containers', id);
  }

  log(id: string): string {
    return join(this.directory, `${id}.log`);
  }

  process(...args: string[]): OciProcess {
    const user = { uid: 0, gid: 0 };
    return { terminal: false, user, args, env: ['PATH=/bin'], cwd: '/', noNewPrivileges: true };
  }

  spec(id: string, args: string[], options: NewContainer = {}): OciSpec {
    const spec: OciSpec = {
      ociVersion: '1.0.2',
      root: { path: join(this.directory, 'rootfs'), readonly: false },
      process: { ...this.process(...args), terminal: options.terminal ?? false },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
        { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance', 'ptmxmode=0666'] },
      ],
      linux: {
        namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }],
        cgroupsPath: `${this.cgroup}/${id}`,
        resources: options.resources ?? {},
      },
    };
    options.change?.(spec);
    return spec;
  }

  /** Creates a container that runs these arguments and returns its id. */
  async create(args: string[], options: NewContainer = {}, signal?: AbortSignal): Promise<string> {
    const id = randomBytes(32).toString('hex');
    const request = {
      id,
      spec: this.spec(id, args, options),
      placement: { namespaces: {}, cgroup: this.cgroup, monitorCgroup: `${this.cgroup}-monitors` },
      logPath: (options.log ?? true) ? (options.logPath ?? this.log(id)) : undefined,
      stdin: options.stdin ?? false,
      stdinOnce: options.stdinOnce ?? false,
    };
    await this.runner.create(request, signal);
    return id;
  }

  async run(args: string[], options: NewContainer = {}): Promise<string> {
    const id = await this.create(args, options);
    await this.runner.start(id);
    return id;
  }

  shell(script: string, options: NewContainer = {}): Promise<string> {
    return this.run(['sh', '-c', script], options);
  }

  exec(id: string, script: string, timeoutMs = 0, maxOutputBytes = 1_000_000) {
    return this.runner.exec(id, this.process('sh', '-c', script), { timeoutMs, maxOutputBytes });
  }

  /** How the container ended, as reported to the listener. */
  async exit(id: string): Promise<ContainerExit> {
    return eventually(`the exit of ${id}`, () => this.exits.find((exit) => exit.id === id));
  }

  async logLines(id: string): Promise<LogLine[]> {
    return parseLog(await readFile(this.log(id)));
  }

  /** The pid of the container's conmon. */
  async monitor(id: string): Promise<number> {
    return Number(await readFile(join(this.bundle(id), 'conmon.pid'), 'utf8'));
  }

  /** Directories of cgroups with this name, in every hierarchy. */
  async cgroups(name: string): Promise<string[]> {
    const found: string[] = [];
    for (const hierarchy of await readdir('/sys/fs/cgroup')) {
      // crun makes plain directories where the sandbox hides the v2 tree beside v1.
      if (hierarchy === 'unified') continue;
      const path = join('/sys/fs/cgroup', hierarchy, this.cgroup, name);
      if ((await readdir(path).catch(() => [])).length > 0) found.push(path);
    }
    return found;
  }
}

export interface LogLine {
  stream: string;
  tag: string;
  content: Buffer;
}

/** Lines of a CRI log; throws for an invalid line. */
export function parseLog(text: Buffer): LogLine[] {
  const lines: LogLine[] = [];
  for (let start = 0; start < text.length;) {
    const end = text.indexOf(10, start);
    if (end < 0) throw new Error('the log ends in the middle of a line');
    const line = text.subarray(start, end);
    const head = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d (stdout|stderr) ([PF]) /.exec(
      line.subarray(0, 60).toString('latin1'),
    );
    if (head?.[1] === undefined || head[2] === undefined) throw new Error(`no log line: ${line.toString()}`);
    lines.push({ stream: head[1], tag: head[2], content: line.subarray(head[0].length) });
    start = end + 1;
  }
  return lines;
}

/** What the process wrote to a stream: partial lines joined, a line break after whole ones. */
export function outputOf(lines: LogLine[], stream: string): Buffer {
  const own = lines.filter((line) => line.stream === stream);
  return Buffer.concat(own.flatMap(({ tag, content }) => (tag === 'F' ? [content, Buffer.from('\n')] : [content])));
}

/** Command lines of all processes with this word among their arguments. */
export async function processesWith(word: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(word)).map((line) => line.replaceAll('\0', ' '));
}
