import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { initPid, isRunning, limitingCgroup } from './machine/command-socket.ts';
import { environment } from './machine/tool.ts';

/** How often a starting guest is looked at, in milliseconds. */
const LOOK_MS = 20;

/** A guest did not start; the lines are what lxc-start said of it, without its own name and the guest's. */
export class StartFailure extends Error {
  readonly lines: readonly string[];

  constructor(vmid: number, lines: readonly string[]) {
    super(`startup for container '${vmid}' failed`);
    this.lines = lines;
  }
}

/**
 * Makes the files that only a Proxmox node has, for {@link onNode}: a copy of node-files, and the ids that root may map.
 * @returns the directory.
 */
export async function makeNodeFiles(directory: string): Promise<string> {
  await cp(join(import.meta.dirname, 'node-files'), directory, { recursive: true });
  const place = directory.replace(/\s/g, (blank) => `\\0${blank.charCodeAt(0).toString(8)}`);
  const mounts = [`overlay /usr/share/lxc overlay lowerdir=${place}/lxc:/usr/share/lxc 0 0\n`];
  for (const name of ['subuid', 'subgid']) {
    const own = await readFile(`/etc/${name}`, 'utf8');
    if (own.split('\n').includes('root:100000:65536')) continue;
    await writeFile(join(directory, name), `${own}root:100000:65536\n`, { mode: 0o644 });
    mounts.push(`${place}/${name} /etc/${name} none bind 0 0\n`);
  }
  await writeFile(join(directory, 'fstab'), mounts.join(''));
  return directory;
}

/** The command line that runs another one with the files of a Proxmox node, in a mount namespace of its own. */
export function onNode(nodeFiles: string, ...command: string[]): [command: string, args: string[]] {
  return ['unshare', ['--mount', '--propagation', 'slave', '--', join(nodeFiles, 'on-node'), ...command]];
}

/** A guest's lxc-start in the foreground, as the unit of Proxmox runs it. */
export class LxcProcess {
  /** The process id of its init. */
  readonly pid: number;
  /** The cgroup with its limits, from the root of the hierarchy. */
  readonly cgroup: string;
  /** Milliseconds since the epoch. */
  readonly since = Date.now();
  /** Resolves when lxc-start has ended: nothing of the guest is left then but empty cgroups. */
  readonly ended: Promise<void>;

  private constructor(pid: number, cgroup: string, ended: Promise<void>) {
    this.pid = pid;
    this.cgroup = cgroup;
    this.ended = ended;
  }

  /**
   * Starts the guest that `lxcPath/vmid/config` describes, and waits until it runs.
   * @param options more options of lxc-start
   * @throws StartFailure when lxc-start ends instead.
   * @throws Error when the guest ended before its process could be found.
   */
  static async start(nodeFiles: string, lxcPath: string, vmid: number, ...options: string[]): Promise<LxcProcess> {
    // Without controllers there is no limit to ask for, and the cgroup is where Proxmox has it.
    const isLimited = (await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8')).includes('memory');
    const errors = join(lxcPath, String(vmid), 'stderr');
    const [command, args] = onNode(nodeFiles, 'lxc-start', '-F', '-n', String(vmid), '-P', lxcPath, ...options);
    const file = openSync(errors, 'w', 0o600);
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', file],
      detached: true,
      cwd: '/',
      env: environment,
    });
    closeSync(file);
    const ended = end(child);
    for (;;) {
      if (await isRunning(lxcPath, vmid)) break;
      const over = await Promise.race([ended.then(() => true), sleep(LOOK_MS, false)]);
      if (over) throw new StartFailure(vmid, linesOf(await readFile(errors, 'utf8'), vmid));
    }
    const cgroup = isLimited ? limitingCgroup(lxcPath, vmid) : `/lxc/${vmid}`;
    const found = await Promise.all([initPid(lxcPath, vmid), cgroup]).catch(() => undefined);
    if (found?.[0]) return new LxcProcess(found[0], found[1], ended);
    await ended;
    throw new Error(`unable to get PID for CT ${vmid} (not running?)`);
  }
}

async function end(child: ChildProcess): Promise<void> {
  await once(child, 'exit');
}

function linesOf(text: string, vmid: number): string[] {
  const own = new RegExp(`^lxc-start:?\\s+${vmid}:?\\s*\\S+\\s*`);
  return text
    .split('\n')
    .map((line) => line.trim().replace(own, ''))
    .filter((line) => line !== '');
}
