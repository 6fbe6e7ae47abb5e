import { once } from 'node:events';
import { WebSocket } from 'ws';

/** A client of a streaming URL by WebSocket, version 5 of the remote command protocol unless another is asked for. */
export class ChannelClient {
  readonly ws: WebSocket;
  readonly output: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)];
  readonly closed: Promise<unknown>;

  private constructor(ws: WebSocket) {
    this.ws = ws;
    this.closed = new Promise((resolve) => {
      ws.once('close', resolve);
    });
    ws.on('message', (message: Buffer) => {
      const channel = message.readUInt8(0);
      this.output[channel] = Buffer.concat([this.output[channel] ?? Buffer.alloc(0), message.subarray(1)]);
    });
  }

  static async open(url: string, protocol = 'v5.channel.k8s.io'): Promise<ChannelClient> {
    const ws = new WebSocket(url.replace(/^http/, 'ws'), protocol === '' ? [] : [protocol]);
    const client = new ChannelClient(ws);
    await once(ws, 'open');
    return client;
  }

  send(channel: number, content: string | Buffer): void {
    this.ws.send(Buffer.concat([Buffer.of(channel), Buffer.from(content)]));
  }

  endInput(): void {
    this.ws.send(Buffer.of(255, 0));
  }

  text(channel: number): string {
    return this.output[channel]?.toString() ?? '';
  }

  /** Waits until a channel's output matches. */
  async until(channel: number, pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text(channel))) {
      const ended = await Promise.race([once(this.ws, 'message').then(() => false), this.closed.then(() => true)]);
      if (ended && !pattern.test(this.text(channel))) throw new Error(`the session ended with ${this.text(channel)}`);
    }
  }

  /** What the error channel said in the end. */
  async status(): Promise<{ status: string; reason?: string; message?: string; details?: unknown }> {
    await this.closed;
    return JSON.parse(this.text(3)) as { status: string };
  }
}
