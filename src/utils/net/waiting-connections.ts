import type { Server, Socket } from 'node:net';

/**
 * Bounds the connections of a server that have not come to anything yet: where there are more, the oldest is closed, so that
 * whoever opens many and says nothing keeps out neither the others nor takes the process's descriptors.
 */
export class WaitingConnections {
  /** By the peer's address and port, in the order of their coming. */
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

  /** Counts a connection no more. The socket may be the one that decrypts it. */
  release(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void {
    this.#waiting.delete(keyOf(socket));
  }
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress ?? ''} ${String(remotePort)}`;
}
