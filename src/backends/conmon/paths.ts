import { join } from 'node:path';

/** True for a container id: 64 lower-case hexadecimal digits. Nothing else may enter paths and argument lists. */
export function isContainerId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** The files of the runner below the state directory. All of them may be lost with a reboot. */
export class RunnerPaths {
  /** One bundle per container. */
  readonly containers: string;
  /** conmon's exit files, one per container that has ended. */
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
  /** The runner's own record, see record.ts. */
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
  /** Created by conmon in its working directory when the container's cgroup ran out of memory. */
  oom(id: string): string {
    return join(this.bundle(id), 'oom');
  }
  /** Exists while the runner has frozen the container. */
  paused(id: string): string {
    return join(this.bundle(id), 'paused');
  }
  exit(id: string): string {
    return join(this.exits, id);
  }
  /** The runtime's own state of one container. */
  runtimeState(id: string): string {
    return join(this.runtimeRoot, id);
  }
  /** Exists from `create` until `start`; crun and runc both distinguish "created" from "running" by it. */
  startFifo(id: string): string {
    return join(this.runtimeState(id), 'exec.fifo');
  }
}
