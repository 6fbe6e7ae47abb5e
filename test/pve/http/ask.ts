import { request as httpsRequest } from 'node:https';
import type { SimulatedCluster } from '../cluster.ts';

/** What a node answered; `data` and `errors` as the body has them. */
export interface Answered {
  readonly status: number;
  readonly reason: string;
  readonly data: unknown;
  readonly message: string | undefined;
  readonly errors: Record<string, string> | undefined;
}

/** How a request is sent; everything has a default. */
export interface Sending {
  /** Parameters of the body, as JSON. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Index of the node that is asked; 0 unless said otherwise. */
  readonly node?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Sends one request to a node of the cluster, as a ticket of root@pam unless headers say otherwise.
 * @throws Error when the connection drops.
 */
export function ask(cluster: SimulatedCluster, verb: string, path: string, sending: Sending = {}): Promise<Answered> {
  const { tickets } = cluster.state;
  const { url, authority } = cluster.nodes[sending.node ?? 0]!;
  const body = sending.body === undefined ? '' : JSON.stringify(sending.body);
  const headers = {
    ...(sending.headers ?? {
      cookie: `PVEAuthCookie=${encodeURIComponent(tickets.issue('root@pam'))}`,
      csrfpreventiontoken: tickets.csrf('root@pam'),
    }),
    'content-length': String(Buffer.byteLength(body)),
    ...(body === '' ? {} : { 'content-type': 'application/json' }),
  };
  return new Promise((resolve, reject) => {
    const sent = httpsRequest(`${url}/api2/json${path}`, { method: verb, headers, ca: authority }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const parsed = (text.startsWith('{') ? JSON.parse(text) : {}) as Partial<Answered>;
        const { data, message, errors } = parsed;
        resolve({ status: response.statusCode!, reason: response.statusMessage!, data, message, errors });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Sends a request that starts a task, waits for its end, and says how it ended. */
export async function finish(
  cluster: SimulatedCluster,
  verb: string,
  path: string,
  sending: Sending = {},
): Promise<string> {
  const { status, reason, data } = await ask(cluster, verb, path, sending);
  if (status !== 200 || typeof data !== 'string') throw new Error(`${verb} ${path}: ${status} ${reason}`);
  await cluster.state.tasks.ended(data);
  return cluster.state.tasks.get(data)?.exit ?? 'unknown';
}
