import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { createWebSocketStream } from 'ws';
import { messageOf } from '../../../utils/errors.ts';
import { finish } from '../remote-command.ts';
import type { PortForward } from '../requests.ts';
import { serveSpdyPortForward } from '../spdy/port-forward.ts';
import { ChannelSocket } from './channels.ts';

/** The SPDY connection of a port-forward inside a WebSocket (KEP-4006). */
export const TUNNEL_PROTOCOL = 'SPDY/3.1+portforward.k8s.io';
/** Subprotocols of port-forward; in all but the tunnel the request has the ports. */
export const webSocketForwardProtocols = [TUNNEL_PROTOCOL, 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', ''];

/** Serves the tunnel until it is closed. Never throws. */
export async function serveTunnel(ws: WebSocket, request: PortForward): Promise<void> {
  const tunnel: Duplex = createWebSocketStream(ws);
  tunnel.on('error', () => undefined); // 'close' follows
  await serveSpdyPortForward(tunnel, request);
  ws.close();
}

/** Serves one connection for each of `ports`: two channels per port, data and error. Never throws. */
export async function serveWebSocketPortForward(
  ws: WebSocket,
  request: PortForward,
  protocol: string,
  ports: readonly number[],
): Promise<void> {
  const channels = new ChannelSocket(ws, protocol.includes('base64') ? 'base64' : 'binary');
  const lost = new AbortController();
  ws.on('error', () => undefined); // 'close' follows
  ws.once('close', () => {
    lost.abort(new Error('the client closed the connection'));
  });
  const forward = async (port: number, index: number): Promise<void> => {
    const [data, error] = [index * 2, index * 2 + 1];
    const stdin = channels.reader(data);
    const stdout = channels.writer(data).on('error', () => undefined);
    const failures = channels.writer(error).on('error', () => undefined);
    // Each channel starts with its port.
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    stdout.write(number);
    failures.write(number);
    // In these protocols the client cannot close only its direction.
    stdout.once('finish', () => stdin.destroy());
    let words = '';
    try {
      await request.run(port, { stdin, stdout, stderr: undefined, resizes: undefined }, lost.signal);
    } catch (failure) {
      words = `an error occurred forwarding port ${String(port)}: ${messageOf(failure)}`;
    }
    await Promise.all([finish(stdout, ''), finish(failures, words)]);
  };
  await Promise.all(ports.map(forward));
  ws.close(1000);
}
