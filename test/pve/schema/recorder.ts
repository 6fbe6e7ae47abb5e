import { createServer, request as send, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Exchange } from './exchanges.ts';

/** Headers of one hop alone, and the packing of bodies, which the recorder does without. */
const OWN_HEADERS = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'accept-encoding',
  'content-length',
  'host',
]);
const PREFIX = '/api2/json';

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Where a recorder passes requests on to, and what it shows to clients itself. */
export interface RecorderOptions {
  /** The node's address. */
  url: string;
  /** PEM: certificate and key to serve with, and the authority of the node's own certificate. */
  certificate: string;
  key: string;
  authority: string;
}

/** Stands between a client and a node, and writes down what passes. */
export class Recorder implements AsyncDisposable {
  readonly exchanges: Exchange[] = [];
  readonly #options: RecorderOptions;
  readonly #server: Server;

  private constructor(options: RecorderOptions) {
    this.#options = options;
    const { certificate: cert, key } = options;
    this.#server = createServer({ cert, key }, (request, response) => {
      this.#pass(request, response).catch(() => request.socket.destroy());
    });
  }

  /** Listens on a free port of 127.0.0.1. */
  static async start(options: RecorderOptions): Promise<Recorder> {
    const recorder = new Recorder(options);
    await new Promise<void>((resolve, reject) => {
      recorder.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return recorder;
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    const answer = await this.#forward(request, body);
    const answered = await bodyOf(answer);
    this.#note(request, body, answer, answered);
    for (const [name, value] of Object.entries(answer.headers))
      if (!OWN_HEADERS.has(name) && value !== undefined) response.setHeader(name, value);
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage);
    response.end(answered);
  }

  #forward({ method, url = '', headers }: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_HEADERS.has(name)));
    const length = body.length > 0 || method === 'POST' || method === 'PUT' ? { 'content-length': body.length } : {};
    return new Promise((resolve, reject) => {
      const onward = send(new URL(url, this.#options.url), {
        method,
        headers: { ...kept, ...length },
        ca: this.#options.authority,
        agent: false,
      });
      onward.once('response', resolve).once('error', reject).end(body);
    });
  }

  #note(request: IncomingMessage, body: Buffer, answer: IncomingMessage, answered: Buffer): void {
    const { method = '', url = '' } = request;
    const isJson = (answer.headers['content-type'] ?? '').includes('json');
    const { data, errors } = (isJson ? JSON.parse(answered.toString()) : {}) as Pick<Exchange, 'data' | 'errors'>;
    const parameters = parametersOf(request, body);
    this.exchanges.push({
      source: `${this.exchanges.length + 1}: ${method} ${url} ${body.toString().slice(0, 300)}`,
      method,
      path: url.startsWith(PREFIX) ? url.slice(PREFIX.length) : url,
      status: answer.statusCode ?? 0,
      ...(parameters !== undefined && { parameters }),
      ...(isJson && { data }),
      ...(errors !== undefined && { errors }),
    });
  }

  /** Stops listening; what passes at the moment is cut off. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What a body says; undefined for a form with files. */
function parametersOf(request: IncomingMessage, body: Buffer): Record<string, unknown> | undefined {
  const type = request.headers['content-type'] ?? '';
  if (body.length === 0) return {};
  if (type.includes('json')) return JSON.parse(body.toString()) as Record<string, unknown>;
  return type.includes('urlencoded') ? Object.fromEntries(new URLSearchParams(body.toString())) : undefined;
}
