import type { Server, Socket } from 'node:net';

/**
 * Bounds the pending connections of a server: beyond the limit the oldest is closed, so that a client with many idle
 * connections neither blocks others nor exhausts the process's descriptors.
 */
export class WaitingConnections {
  /** By the peer's address and port, in order of arrival. */
  readonly #waiting = new Map<string, Socket>();

  constructor(server: Server, limit: number) {
    server.on('connection', (socket: Socket) => {
      const key = keyOf(socket);
      this.#waiting.set(key, socket);
      socket.once('close', () => {
        if (this.#waiting.get(key) === socket) this.#waiting.delete(key);
      });
      if (this.#waiting.size <= limit) return;
      for (const [oldest, first] of this.#waiting) {
        this.#waiting.delete(oldest);
        first.destroy();
        break;
      }
    });
  }

  /** Stops counting a connection. The socket may be its TLS socket. */
  release(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void {
    this.#waiting.delete(keyOf(socket));
  }
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress ?? ''} ${String(remotePort)}`;
}
