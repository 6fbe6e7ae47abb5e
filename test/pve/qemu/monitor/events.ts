import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { onMessages } from './connection.ts';

/** What the daemon is told of a machine. */
export interface Listener {
  /** The machine can be asked from now on. */
  readonly connected: () => void;
  /** The guest, or somebody over the monitor, has switched the machine off; its process stays until somebody ends it. */
  readonly off: () => void;
  /** The process has closed the connection: it ends, or has ended. */
  readonly closed: () => void;
}

interface Device {
  readonly label: string;
  readonly filename: string;
}

/**
 * What qmeventd is on a node: every process of QEMU connects to its socket and reports events there. Which machine it is
 * says the path of its other monitor.
 */
export class EventSocket {
  readonly #server: Server;
  readonly #listeners = new Map<number, Listener>();
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** @throws Error when there can be no socket at the path. */
  static async listen(path: string): Promise<EventSocket> {
    await rm(path, { force: true });
    const events = new EventSocket();
    await new Promise<void>((resolve, reject) => {
      events.#server.once('error', reject);
      events.#server.listen(path, resolve);
    });
    return events;
  }

  /** Has the listener told of the machine `vmid`, until its process ends. */
  watch(vmid: number, listener: Listener): void {
    this.#listeners.set(vmid, listener);
  }

  /** Forgets a listener whose process never connected. */
  unwatch(vmid: number): void {
    this.#listeners.delete(vmid);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let listener: Listener | undefined;
    const send = (execute: string): boolean => socket.write(`${JSON.stringify({ execute })}\n`);
    onMessages(socket, (message) => {
      if (message.QMP !== undefined) {
        send('qmp_capabilities');
        send('query-chardev');
      } else if (message.event === 'SHUTDOWN') listener?.off();
      else if (Array.isArray(message.return)) {
        const devices = message.return as Device[];
        const { filename = '' } = devices.find(({ label }) => label === 'qmp') ?? {};
        const vmid = Number(/\/(\d+)\.qmp\b/.exec(filename)?.[1] ?? 0);
        listener = this.#listeners.get(vmid);
        this.#listeners.delete(vmid);
        listener?.connected();
      }
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      listener?.closed();
    });
  }
}
