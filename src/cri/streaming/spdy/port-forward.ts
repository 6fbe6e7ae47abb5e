import type { Duplex } from 'node:stream';
import { messageOf } from '../../../utils/errors.ts';
import { finish } from '../remote-command.ts';
import type { PortForward } from '../requests.ts';
import { SpdyConnection } from './connection.ts';
import type { SpdyStream } from './stream.ts';

/** The only version. */
export const portForwardProtocols = ['portforward.k8s.io'];

/** Maximum time that a stream waits for the other of its pair. */
const PAIR_MS = 30_000;

/** Serves port-forwards on a connection until it is closed: a pair of streams, `data` and `error`, is one connection. */
export async function serveSpdyPortForward(socket: Duplex, request: PortForward): Promise<void> {
  const lost = new AbortController();
  const halves = new Map<string, { stream: SpdyStream; timer: NodeJS.Timeout }>();
  const connection = new SpdyConnection(socket, (stream) => {
    const type = stream.headers.get('streamtype');
    const port = portOf(stream);
    if ((type !== 'data' && type !== 'error') || port === undefined) return false;
    const key = `${pairOf(stream)} ${String(port)}`;
    const half = halves.get(key);
    if (half === undefined) {
      const timer = setTimeout(() => stream.destroy(), PAIR_MS);
      stream.once('close', () => {
        clearTimeout(timer);
        if (halves.get(key)?.stream === stream) halves.delete(key);
      });
      halves.set(key, { stream, timer });
      return true;
    }
    if (half.stream.headers.get('streamtype') === type) return false;
    clearTimeout(half.timer);
    halves.delete(key);
    const [data, error] = type === 'data' ? [stream, half.stream] : [half.stream, stream];
    void forward(request, port, data, error, lost.signal);
    return true;
  });
  await connection.run().catch(() => undefined);
  lost.abort(new Error('the client closed the connection'));
}

/** Forwards one connection; it also ends when the client resets its stream. */
async function forward(
  request: PortForward,
  port: number,
  data: SpdyStream,
  error: SpdyStream,
  lost: AbortSignal,
): Promise<void> {
  error.resume();
  const reset = new AbortController();
  data.once('close', () => {
    if (!data.readableEnded || !data.writableFinished) reset.abort(new Error('the client reset the stream'));
  });
  let words = '';
  try {
    const io = { stdin: data, stdout: data, stderr: undefined, resizes: undefined };
    await request.run(port, io, AbortSignal.any([lost, reset.signal]));
  } catch (failure) {
    // A client that has read enough resets its stream, which is not an error.
    if (!reset.signal.aborted) words = `an error occurred forwarding port ${String(port)}: ${messageOf(failure)}`;
  }
  data.resume();
  await finish(error, words);
  await finish(data, '');
}

/** The key of a pair of streams. Old clients send no request id; they open `data` right after `error`. */
function pairOf(stream: SpdyStream): string {
  const given = stream.headers.get('requestid') ?? '';
  if (given !== '') return given;
  return String(stream.headers.get('streamtype') === 'error' ? stream.id : stream.id - 2);
}

function portOf(stream: SpdyStream): number | undefined {
  const text = stream.headers.get('port') ?? '';
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}
