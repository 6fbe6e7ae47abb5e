import type { Duplex } from 'node:stream';
import type { ClientStreams } from '../remote-command.ts';
import { serveRemoteCommand } from '../remote-command.ts';
import type { RemoteCommand } from '../requests.ts';
import { plainMessage, statusMessage } from '../status.ts';
import { SpdyConnection } from './connection.ts';
import type { SpdyStream } from './stream.ts';

/** Versions of the remote command protocol, newest first; version 1 is "channel.k8s.io". */
export const remoteCommandProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];

/** Maximum time for the client to open its streams. */
const STREAMS_MS = 30_000;
/** Maximum time for the client to close the connection after the end. */
const LINGER_MS = 10_000;

/** Serves one exec or attach on an upgraded connection until it is closed. Never throws. */
export async function serveSpdyRemoteCommand(socket: Duplex, command: RemoteCommand, protocol: string): Promise<void> {
  const expected = expectedStreams(command, protocol);
  const streams = new Map<string, SpdyStream>();
  const lost = new AbortController();
  let complete: () => void = () => undefined;
  const all = new Promise<void>((resolve) => {
    complete = resolve;
  });
  const connection = new SpdyConnection(socket, (stream) => {
    const type = stream.headers.get('streamtype') ?? '';
    if (!expected.includes(type) || streams.has(type)) return false;
    streams.set(type, stream);
    if (streams.size === expected.length) complete();
    return true;
  });
  const timer = setTimeout(() => socket.destroy(), STREAMS_MS);
  const ended = connection.run().catch(() => undefined);
  void ended.then(() => {
    lost.abort(new Error('the client closed the connection'));
  });
  await Promise.race([all, ended]);
  clearTimeout(timer);
  const error = streams.get('error');
  if (streams.size < expected.length || error === undefined) return;

  // Only the end is expected on these streams, and it must be read.
  for (const type of ['stdout', 'stderr', 'error']) streams.get(type)?.resume();
  const client: ClientStreams = {
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    resize: streams.get('resize'),
    error,
    message: protocol === 'v4.channel.k8s.io' ? statusMessage : plainMessage,
    signal: lost.signal,
  };
  await serveRemoteCommand(command, client);
  // Closing immediately would discard unread data of the client, if it sends meanwhile.
  socket.end();
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  await ended;
  clearTimeout(linger);
}

function expectedStreams({ flags }: RemoteCommand, protocol: string): string[] {
  const resizes = protocol === 'v4.channel.k8s.io' || protocol === 'v3.channel.k8s.io';
  return [
    'error',
    ...(flags.stdin ? ['stdin'] : []),
    ...(flags.stdout ? ['stdout'] : []),
    ...(flags.stderr ? ['stderr'] : []),
    ...(flags.tty && resizes ? ['resize'] : []),
  ];
}
