import { once } from 'node:events';
import { WebSocket } from 'ws';
import { AttachRequest, ExecRequest, PortForwardRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import type { ServerFixture } from './server-fixture.ts';

type ExecFields = Parameters<typeof ExecRequest.create>[0];

/** The URL of an exec with standard output and the streams in `fields`. */
export async function execUrl(server: ServerFixture, containerId: string, cmd: string[], fields: ExecFields = {}) {
  const request = ExecRequest.create({ containerId, cmd, stdout: true, ...fields });
  return (await server.client.call(RuntimeServiceService.exec, request)).url;
}

/** The URL of an attachment with standard input and output, unless `fields` says otherwise. */
export async function attachUrl(
  server: ServerFixture,
  containerId: string,
  fields: Parameters<typeof AttachRequest.create>[0] = {},
) {
  const request = AttachRequest.create({ containerId, stdin: true, stdout: true, ...fields });
  return (await server.client.call(RuntimeServiceService.attach, request)).url;
}

/** A client of a streaming URL by WebSocket, with version 5 of the remote command protocol by default. */
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

  /** Waits until a channel's output matches. @throws Error when the session ends first, or is silent for HANG_MS. */
  async until(channel: number, pattern: RegExp): Promise<void> {
    const signal = AbortSignal.timeout(HANG_MS);
    while (!pattern.test(this.text(channel))) {
      const message = once(this.ws, 'message', { signal }).then(
        () => 'goes on',
        () => 'is silent',
      );
      const state = await Promise.race([message, this.closed.then(() => 'has ended')]);
      if (state !== 'goes on' && !pattern.test(this.text(channel))) {
        throw new Error(`no ${String(pattern)}: the session ${state} after ${JSON.stringify(this.text(channel))}`);
      }
    }
  }

  /** Sends a line until its answer is in the output: output before the attachment is not read. */
  async converse(line: string, answer: RegExp): Promise<void> {
    const asking = setInterval(() => {
      this.send(0, `${line}\n`);
    }, 200);
    await this.until(1, answer).finally(() => {
      clearInterval(asking);
    });
  }

  /** The final message of the error channel. */
  async status(): Promise<{ status: string; reason?: string; message?: string; details?: unknown }> {
    await this.closed;
    return JSON.parse(this.text(3)) as { status: string };
  }
}

/** Waits until each of these TCP ports is open in a container's network. */
export async function listening(server: ServerFixture, containerId: string, ...ports: number[]): Promise<void> {
  await eventually(`listeners on ${ports.join(', ')}`, async () => {
    const { stdout } = await server.exec(containerId, 'netstat', '-ltn');
    return ports.every((port) => new RegExp(`:${String(port)} .* LISTEN`).test(stdout.toString()));
  });
}

/** The response to GET /index.html of a web server in the pod, through port-forward, and the errors of that stream. */
export async function forwardedPage(
  server: ServerFixture,
  podSandboxId: string,
  port: number,
): Promise<{ body: string | undefined; error: string | undefined }> {
  const request = PortForwardRequest.create({ podSandboxId, port: [port] });
  const { url } = await server.client.call(RuntimeServiceService.portForward, request);
  const client = await ChannelClient.open(url, 'v4.channel.k8s.io');
  client.send(0, 'GET /index.html HTTP/1.0\r\n\r\n');
  await client.closed;
  if (client.output[0]?.readUInt16LE(0) !== port)
    throw new Error(`the stream does not begin with port ${String(port)}`);
  return { body: client.text(0).split('\r\n\r\n')[1], error: client.output[1]?.subarray(2).toString() };
}
