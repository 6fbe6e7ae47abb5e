import { join } from 'node:path';

/** True for a container id: 64 lower-case hexadecimal digits. Everything else is kept out of paths and argument lists. */
export function isContainerId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Where the runner keeps its files below the state directory. All of it may be lost with a reboot. */
export class RunnerPaths {
  /** One bundle a container. */
  readonly containers: string;
  /** conmon's exit files, one a container that has ended. */
  readonly exits: string;
  /** The OCI runtime's own state (`--root`). */
  readonly runtimeRoot: string;
  /** Short-lived sockets of conmon: a unix socket's path has room for 107 bytes, which a bundle's would exceed. */
  readonly temporary: string;

  constructor(stateDir: string) {
    this.containers = join(stateDir, 'containers');
    this.exits = join(stateDir, 'exits');
    this.runtimeRoot = join(stateDir, 'runtime');
    this.temporary = join(stateDir, 'tmp');
  }

  bundle(id: string): string {
    return join(this.containers, id);
  }
  /** The OCI configuration. */
  config(id: string): string {
    return join(this.bundle(id), 'config.json');
  }
  /** The runner's own notes, see record.ts. */
  record(id: string): string {
    return join(this.bundle(id), 'runner.json');
  }
  /** Written by conmon's first process before it ends. */
  monitorPid(id: string): string {
    return join(this.bundle(id), 'conmon.pid');
  }
  containerPid(id: string): string {
    return join(this.bundle(id), 'container.pid');
  }
  /** Where the OCI runtime, called by conmon, writes its errors. */
  runtimeLog(id: string): string {
    return join(this.bundle(id), 'runtime.log');
  }
  /** conmon's control FIFO. */
  control(id: string): string {
    return join(this.bundle(id), 'ctl');
  }
  /** Made by conmon in its working directory when the container's cgroup ran out of memory. */
  oom(id: string): string {
    return join(this.bundle(id), 'oom');
  }
  exit(id: string): string {
    return join(this.exits, id);
  }
  /** The runtime's own state of one container. */
  runtimeState(id: string): string {
    return join(this.runtimeRoot, id);
  }
  /** There from `create` until `start`; crun and runc both tell "created" from "running" by it. */
  startFifo(id: string): string {
    return join(this.runtimeState(id), 'exec.fifo');
  }
}
