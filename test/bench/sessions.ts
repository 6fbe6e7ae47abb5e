// Compares streaming sessions on this checkout's server and on another's, in one run.
//
//   test/sandbox node_modules/.bin/node test/bench/sessions.ts CHECKOUT [ROUNDS [MIB]]     15 and 256
//
// The two take turns. Prints medians, and this checkout's divided by the other's: milliseconds of sessions and of the server's
// start, the slowest RPC beside eight concurrent execs, MiB/s of transfers by WebSocket, and the memory (PSS) that an
// attachment adds. CHECKOUT has its node_modules.
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { WebSocket } from 'ws';
import { PortForwardRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { attachUrl, execUrl } from '../integration/streaming-client.ts';
import { eventually } from '../lib/eventually.ts';
import { median } from './contenders.ts';

const [other, rounds = '15', mebibytes = '256'] = process.argv.slice(2);
if (other === undefined)
  throw new Error('usage: test/sandbox node_modules/.bin/node test/bench/sessions.ts CHECKOUT [ROUNDS [MIB]]');
const BYTES = Number(mebibytes) * 2 ** 20;
const PIECE = Buffer.alloc(32_768);
const LISTENERS = [
  'nc -ll -p 9001 -e echo first',
  `nc -ll -p 9002 -e head -c ${String(BYTES)} /dev/zero`,
  `nc -ll -p 9003 -e sh -c 'head -c ${String(BYTES)} | wc -c'`,
];

/** A server with a container that waits, echoes lines and listens. */
class Contender {
  readonly server: ServerFixture;
  readonly #pod: string;
  readonly #container: string;

  private constructor(server: ServerFixture, pod: string, container: string) {
    this.server = server;
    this.#pod = pod;
    this.#container = container;
  }

  static async make(owner: Parameters<typeof ServerFixture.make>[0], checkout: string): Promise<Contender> {
    const server = await ServerFixture.make(owner, '', { checkout, settled: false });
    const pod = await server.pod('bench', {}, 'crun');
    const container = await server.sh(pod, 'main', `${LISTENERS.join(' & ')} & exec cat`, { stdin: true });
    const contender = new Contender(server, pod, container);
    await eventually('the listeners', () =>
      contender.#forward(9003, (ws) => Promise.resolve(ws.readyState === WebSocket.OPEN)),
    );
    return contender;
  }

  readonly figures: Record<string, () => Promise<number>> = {
    'ExecSync, ms': () => timed(() => this.server.exec(this.#container, 'true')),
    'exec with input, ms': () => timed(() => this.#cat()),
    'port-forward to the first byte, ms': () => timed(() => this.#forward(9001, (ws) => ws.received(1))),
    'slowest call beside 8 execs with input, ms': () => this.#slowest(),
    'exec, out, MiB/s': () =>
      rate(() => this.#exec(['head', '-c', String(BYTES), '/dev/zero'], false, (ws) => ws.received(BYTES))),
    'exec, in, MiB/s': () =>
      rate(() =>
        this.#exec(['sh', '-c', `head -c ${String(BYTES)} | wc -c`], true, (ws) => {
          return Promise.all([send(ws), ws.received(1)]);
        }),
      ),
    'port-forward, out, MiB/s': () => rate(() => this.#forward(9002, (ws) => ws.received(BYTES))),
    'port-forward, in, MiB/s': () => rate(() => this.#forward(9003, (ws) => Promise.all([send(ws), ws.received(1)]))),
    'PSS of an attachment, KiB': () => this.#attachment(),
  };

  /** Milliseconds of a start of the server to its first answer. */
  async start(): Promise<number> {
    await this.server.end('SIGTERM');
    return timed(() => this.server.start({ settled: false }));
  }

  async #exec<T>(cmd: string[], stdin: boolean, use: (ws: Counted) => Promise<T>): Promise<T> {
    return session(await execUrl(this.server, this.#container, cmd, { stdin }), 'v5.channel.k8s.io', use);
  }

  async #cat(): Promise<void> {
    await this.#exec(['cat'], true, async (ws) => {
      ws.send(Buffer.from('\0line'));
      ws.send(Buffer.of(255, 0));
      await once(ws, 'close');
    });
  }

  async #forward<T>(port: number, use: (ws: Counted) => Promise<T>): Promise<T> {
    const request = PortForwardRequest.create({ podSandboxId: this.#pod, port: [port] });
    const { url } = await this.server.client.call(RuntimeServiceService.portForward, request);
    return session(url, 'v4.channel.k8s.io', use);
  }

  async #slowest(): Promise<number> {
    let slowest = 0;
    let over = false;
    const execs = Promise.all(Array.from({ length: 8 }, () => this.#cat())).then(() => (over = true));
    while (!over) {
      const taken = await timed(() => this.server.client.call(RuntimeServiceService.version, { version: '' }));
      slowest = Math.max(slowest, taken);
    }
    await execs;
    return slowest;
  }

  async #attachment(): Promise<number> {
    const before = await pids();
    return session(await attachUrl(this.server, this.#container), 'v5.channel.k8s.io', async (ws) => {
      ws.send(Buffer.from('\0line\n'));
      await ws.received(5);
      const relays = (await pids()).filter((pid) => !before.includes(pid));
      const sizes = await Promise.all(relays.map(pssOf));
      return sizes.reduce((sum, size) => sum + size, 0);
    });
  }
}

/** A WebSocket that counts the bytes of output. */
class Counted extends WebSocket {
  #bytes = 0;
  #wake = () => {};
  readonly #begun = new Set<number>();

  constructor(url: string, protocol: string) {
    super(url.replace(/^http/, 'ws'), protocol);
    this.on('close', () => this.#wake());
    this.on('message', (message: Buffer) => {
      const channel = message[0] ?? 0;
      // Each stream of a port begins with its number.
      const isPort = protocol.startsWith('v4') && !this.#begun.has(channel);
      this.#begun.add(channel);
      if (!isPort && (protocol.startsWith('v5') || channel === 0)) this.#bytes += message.length - 1;
      this.#wake();
    });
  }

  /** Resolves when this many bytes have arrived. */
  async received(bytes: number): Promise<void> {
    while (this.#bytes < bytes) {
      if (this.readyState === WebSocket.CLOSED) throw new Error(`the session ended after ${String(this.#bytes)} bytes`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

async function session<T>(url: string, protocol: string, use: (ws: Counted) => Promise<T>): Promise<T> {
  const ws = new Counted(url, protocol);
  await once(ws, 'open');
  try {
    return await use(ws);
  } finally {
    if (ws.readyState !== WebSocket.CLOSED) {
      const closed = once(ws, 'close');
      ws.terminate();
      await closed;
    }
  }
}

async function send(ws: WebSocket): Promise<void> {
  const message = Buffer.concat([Buffer.of(0), PIECE]);
  for (let left = BYTES; left > 0; left -= PIECE.length) {
    await new Promise<void>((resolve, reject) => {
      ws.send(message, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const rate = async (work: () => Promise<unknown>) => Number(mebibytes) / ((await timed(work)) / 1000);
const pids = async () => (await readdir('/proc')).filter((name) => /^\d+$/.test(name));

/** KiB; 0 for a process that has ended. */
async function pssOf(pid: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
}

const steps: (() => unknown)[] = [];
const owner = { teardown: (step: () => unknown) => void steps.push(step), log: console.log, passed: true } as never;
try {
  const contenders = [await Contender.make(owner, process.cwd()), await Contender.make(owner, resolve(other))];
  const names = Object.keys(contenders[0]?.figures ?? {});
  const taken = contenders.map(() => new Map<string, number[]>(names.map((name) => [name, []])));
  // The first round creates what is created once.
  for (let round = 0; round <= Number(rounds); round++) {
    for (const name of names) {
      // Transfers take long and produce much output.
      if (name.endsWith('MiB/s') && round > 3) continue;
      for (const index of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const figure = (await contenders[index]?.figures[name]?.()) ?? NaN;
        if (round > 0) taken[index]?.get(name)?.push(figure);
      }
    }
  }
  // Last, because the work after a start would disturb the others.
  const start = 'start of the server to its first answer, ms';
  for (let round = 0; round < Number(rounds); round++) {
    for (const [index, contender] of contenders.entries()) {
      taken[index]?.set(start, [...(taken[index].get(start) ?? []), await contender.start()]);
    }
  }
  console.log(`${rounds} rounds, ${mebibytes} MiB; this checkout, ${other}, ratio`);
  for (const name of [...names, start]) {
    const [mine, theirs] = taken.map((figures) => median(figures.get(name) ?? [])) as [number, number];
    console.log(`${name.padEnd(44)} ${mine.toFixed(1)}, ${theirs.toFixed(1)}, ${(mine / theirs).toFixed(2)}`);
  }
} finally {
  for (const step of steps.reverse()) await step();
}
