import type { WebSocket } from 'ws';
import { serveRemoteCommand } from '../remote-command.ts';
import type { RemoteCommand } from '../requests.ts';
import { plainMessage, statusMessage } from '../status.ts';
import { ChannelSocket } from './channels.ts';

/** Subprotocols of exec and attach; empty when the client requests none. */
export const webSocketCommandProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
  '',
];

const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Serves one exec or attach on a WebSocket and closes it. Never throws. */
export async function serveWebSocketRemoteCommand(
  ws: WebSocket,
  command: RemoteCommand,
  protocol: string,
): Promise<void> {
  const { flags } = command;
  const channels = new ChannelSocket(ws, protocol.includes('base64') ? 'base64' : 'binary');
  const lost = new AbortController();
  ws.on('error', () => undefined); // 'close' follows
  ws.once('close', () => {
    lost.abort(new Error('the client closed the connection'));
  });
  const output = (channel: number) => channels.writer(channel).on('error', () => undefined);
  const client = {
    stdin: flags.stdin ? channels.reader(Channel.stdin) : undefined,
    stdout: flags.stdout ? output(Channel.stdout) : undefined,
    stderr: flags.stderr ? output(Channel.stderr) : undefined,
    resize: flags.tty ? channels.reader(Channel.resize) : undefined,
    error: output(Channel.error),
    message: /^v[45]\./.test(protocol) ? statusMessage : plainMessage,
    signal: lost.signal,
  };
  // Notifies the client of the streaming session before the first output.
  const lowest = flags.stdout ? Channel.stdout : flags.stderr ? Channel.stderr : Channel.error;
  channels.send(lowest, Buffer.alloc(0), () => undefined);
  await serveRemoteCommand(command, client);
  ws.close(1000);
}
