import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { PortForwardRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { unavailable } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { writeAll } from '../output/write.ts';
import { Channels } from '../stream/channels.ts';
import { untilSignal } from '../until-signal.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/** One port to forward; `local` 0: a free port. */
interface Forward {
  local: number;
  remote: number;
}

const PROTOCOL = 'v4.channel.k8s.io';
const Channel = { data: 0, error: 1 } as const;
/** Length of the port number that starts each channel. */
const PORT_BYTES = 2;

/**
 * Listens on local ports and forwards each connection to a pod, until a signal arrives.
 * @throws UsageError, CriError UNAVAILABLE when a local port is in use.
 */
export async function forwardPorts(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [word = '', ...ports] = input.args;
  const forwards = ports.map(parseForward);
  const address = input.text('bind') ?? '127.0.0.1';
  const { id } = await resolve(server, word, ['pod']);
  const listeners: Server[] = [];
  const sockets = new Set<Socket>();
  try {
    for (const { local, remote } of forwards) {
      const listener = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        carry(server, id, remote, socket).catch((error: unknown) => {
          context.stderr.write(`Port ${String(remote)}: ${messageOf(error)}\n`);
          socket.destroy();
        });
      });
      listeners.push(listener);
      const bound = await listen(listener, address, local);
      context.stdout.write(`Forwarding from ${bound} -> ${String(remote)}\n`);
    }
    await untilSignal(context);
  } finally {
    for (const listener of listeners) listener.close();
    for (const socket of sockets) socket.destroy();
  }
}

/** `80`, `8080:80`, or `:80` for a free local port. @throws UsageError */
function parseForward(text: string): Forward {
  const [, local, remote = ''] = /^(?:(\d*):)?(\d+)$/.exec(text) ?? [];
  const forward = { local: Number(local ?? remote), remote: Number(remote) };
  if (remote === '' || forward.local > 65_535 || forward.remote < 1 || forward.remote > 65_535) {
    throw new UsageError(`${JSON.stringify(text)}: must be [LOCAL:]PORT with ports from 1 to 65535`);
  }
  return forward;
}

function listen(listener: Server, host: string, port: number): Promise<string> {
  return new Promise((done, reject) => {
    listener.once('error', (error) => {
      reject(unavailable(`cannot listen on ${host}, port ${String(port)}: ${error.message}`, error));
    });
    listener.listen({ host, port }, () => {
      const bound = listener.address() as AddressInfo;
      const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
      done(`${shown}:${String(bound.port)}`);
    });
  });
}

/** Forwards one connection in its own streaming session. @throws CriError with the server's message. */
async function carry(server: ServerClient, podSandboxId: string, port: number, socket: Socket): Promise<void> {
  socket.on('error', () => undefined); // 'close' follows
  const { url } = await server.call(
    RuntimeServiceService.portForward,
    PortForwardRequest.create({ podSandboxId, port: [port] }),
  );
  let words = '';
  using channels = await Channels.open(
    url,
    {
      [Channel.data]: afterPort((content) => writeAll(socket, content)),
      [Channel.error]: afterPort((content) => {
        words += content.toString();
        return Promise.resolve();
      }),
    },
    PROTOCOL,
  );
  socket.once('close', () => {
    channels[Symbol.dispose]();
  });
  const sent = (async () => {
    for await (const chunk of socket as AsyncIterable<Buffer>) await channels.send(Channel.data, chunk);
    await channels.end(Channel.data);
  })();
  sent.catch(() => undefined); // the connection was lost
  await channels.closed;
  if (words !== '') throw unavailable(words);
  socket.end();
}

/** Drops the port number at the start of a channel, however the messages are split. */
function afterPort(sink: (content: Buffer) => Promise<void>): (content: Buffer) => Promise<void> {
  let left = PORT_BYTES;
  return async (content) => {
    const rest = content.subarray(left);
    left -= content.length - rest.length;
    if (rest.length > 0) await sink(rest);
  };
}
