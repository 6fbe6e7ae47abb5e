import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../src/host/processes/run.ts';

/** Debian packages, unpacked into a directory of the run unless their programs are on PATH. */
export interface Containerd {
  /** Directories of its programs, for PATH. */
  path: string;
  program: (name: string) => string;
}

/** containerd and runc; undefined, with the reason printed, when they cannot be had. */
export async function findContainerd(directory: string): Promise<Containerd | undefined> {
  const directories = (process.env['PATH'] ?? '').split(':');
  const packages = (process.env['CONTAINERD_DEB'] ?? '').split(':').filter((name) => name !== '');
  for (const package_ of packages) {
    await run('dpkg-deb', ['--extract', package_, join(directory, 'debian')]);
    directories.unshift(join(directory, 'debian/usr/bin'), join(directory, 'debian/usr/sbin'));
  }
  for (const bin of directories) {
    if (await stat(join(bin, 'containerd')).catch(() => undefined)) {
      return { path: directories.join(':'), program: (name) => join(bin, name) };
    }
  }
  console.log(
    'containerd: left out; install it, or name the package files in CONTAINERD_DEB, separated by colons' +
      ' (apt-get download containerd runc)',
  );
  return undefined;
}

/** A containerd of its own, with the CRI when `cni` names a directory of network configurations. */
export async function startContainerd(
  containerd: Containerd,
  directory: string,
  cni?: string,
): Promise<AsyncDisposable & { socket: string; ctr: (...args: string[]) => Promise<unknown> }> {
  await mkdir(directory, { recursive: true });
  const socket = join(directory, 'containerd.sock');
  const cri = `[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:test"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "${cni ?? ''}"
`;
  const without = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n';
  await writeFile(join(directory, 'config.toml'), `version = 2\n${cni === undefined ? without : cri}`);
  const args = ['--config', join(directory, 'config.toml'), '--root', join(directory, 'root')];
  args.push('--state', join(directory, 'state'), '--address', socket);
  const env = { ...process.env, PATH: containerd.path };
  const daemon: ChildProcess = spawn(containerd.program('containerd'), args, { stdio: 'ignore', env });
  const ctr = (...words: string[]) => run(containerd.program('ctr'), ['--address', socket, ...words]);
  for (let tries = 0; !(await ctr('version').catch(() => undefined)); tries++) {
    if (tries === 200) throw new Error('containerd does not answer');
    await sleep(50);
  }
  return {
    socket,
    ctr,
    async [Symbol.asyncDispose]() {
      if (daemon.exitCode !== null) return;
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
    },
  };
}

export const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
