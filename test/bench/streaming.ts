// Moves 512 MiB each way through exec and port-forward with crictl, by this server and by containerd, in one run.
//
//   test/sandbox node_modules/.bin/node test/bench/streaming.ts [ROUNDS [MIB]]
//
// Prints the median rates in MiB/s and their ratios. Over SPDY, which the kubelet uses; containerd does not support the
// WebSocket protocol of crictl. containerd and runc are taken from PATH, or unpacked from the Debian packages that
// CONTAINERD_DEB names (separated by colons). Missing programs are skipped and reported.
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateContainerRequest, RunPodSandboxRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerClient } from '../../src/cli/client/server.ts';
import { run } from '../../src/host/processes/run.ts';
import { Crictl, ended } from '../integration/crictl-client.ts';
import { IMAGE, ServerFixture } from '../integration/server-fixture.ts';
import { findContainerd, median, startContainerd } from './contenders.ts';

const [rounds = 3, mebibytes = 512] = process.argv.slice(2).map(Number);
const BYTES = mebibytes * 2 ** 20;
// The receiver answers before the end: containerd sends nothing back once the client has closed its direction.
const TAKE = `head -c ${String(BYTES)} | wc -c`;
const LISTENERS = `nc -ll -p 9001 -e cat /data & nc -ll -p 9002 -e sh -c '${TAKE}' & sleep 100000`;

/** A pod with one container that has the file `data`, on a server that crictl is connected to. */
class Contender {
  readonly name: string;
  readonly #crictl: Crictl;
  readonly #pod: string;
  readonly #container: string;
  readonly #data: string;

  private constructor(name: string, crictl: Crictl, pod: string, container: string, data: string) {
    this.name = name;
    this.#crictl = crictl;
    this.#pod = pod;
    this.#container = container;
    this.#data = data;
  }

  static async make(owner: typeof teardown, name: string, socket: string, data: string, cgroupParent: string) {
    const client = new ServerClient(`unix://${socket}`);
    owner(() => client[Symbol.dispose]());
    const config = {
      metadata: { name: 'bench', namespace: 'bench', uid: 'bench', attempt: 0 },
      linux: { cgroupParent },
    };
    const request = RunPodSandboxRequest.create({ config });
    const { podSandboxId } = await client.call(RuntimeServiceService.runPodSandbox, request);
    owner(() => client.call(RuntimeServiceService.removePodSandbox, { podSandboxId }));
    const container = CreateContainerRequest.create({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: IMAGE },
        command: ['sh', '-c', LISTENERS],
        mounts: [{ hostPath: data, containerPath: '/data', readonly: true }],
        linux: {},
      },
    });
    const { containerId } = await client.call(RuntimeServiceService.createContainer, container);
    await client.call(RuntimeServiceService.startContainer, { containerId });
    await sleep(500);
    const crictl = await Crictl.for({ teardown: owner }, socket);
    return new Contender(name, crictl, podSandboxId, containerId, data);
  }

  readonly moves: Record<string, () => Promise<number>> = {
    'exec, out': async () => counted(this.#crictl.spawn('exec', this.#container, 'cat', '/data').stdout),
    'exec, in': async () => {
      const child = this.#crictl.spawn('exec', '-i', this.#container, 'wc', '-c');
      const [{ stdout }] = await Promise.all([ended(child), pipeline(createReadStream(this.#data), child.stdin)]);
      return Number(stdout);
    },
    'port-forward, out': () => this.#forwarded(9001, (socket) => counted(socket)),
    'port-forward, in': () =>
      this.#forwarded(9002, async (socket) => {
        createReadStream(this.#data).pipe(socket, { end: false });
        const [answer] = (await once(socket, 'data')) as [Buffer];
        return Number(answer.toString());
      }),
  };

  async #forwarded(port: number, move: (socket: ReturnType<typeof connect>) => Promise<number>): Promise<number> {
    const forward = await this.#crictl.forward('spdy', this.#pod, port);
    const socket = connect({ host: '127.0.0.1', port: forward.local, allowHalfOpen: true });
    const bytes = await move(socket);
    socket.destroy();
    await forward.close();
    return bytes;
  }
}

async function counted(source: NodeJS.ReadableStream): Promise<number> {
  let bytes = 0;
  await pipeline(
    source,
    new Writable({
      write: (chunk: Buffer, _, done) => {
        bytes += chunk.length;
        done();
      },
    }),
  );
  return bytes;
}

const steps: (() => unknown)[] = [];
const teardown = (step: () => unknown) => void steps.push(step);
const directory = await mkdtemp('/tmp/bench-streaming-');
teardown(() => rm(directory, { recursive: true, force: true }));
try {
  const data = join(directory, 'data');
  await run('dd', ['if=/dev/urandom', `of=${data}`, 'bs=1M', `count=${String(mebibytes)}`, 'status=none']);
  const server = await ServerFixture.make({ teardown, log: console.log, passed: true } as never);
  const contenders = [await Contender.make(teardown, 'proxmox-lxcri', server.socket, data, '')];
  const found = await findContainerd(directory);
  if (found !== undefined) {
    const pause = join(directory, 'pause.tar');
    await run('deploy/lib/pack-busybox', ['/bin/busybox', pause, 'localhost/pause:test', 'sleep', '1000000']);
    const daemon = await startContainerd(found, join(directory, 'containerd'), join(server.directory, 'cni'));
    teardown(() => daemon[Symbol.asyncDispose]());
    for (const archive of [pause, join(server.directory, 'tiny.tar')]) {
      await daemon.ctr('--namespace', 'k8s.io', 'images', 'import', archive);
    }
    contenders.push(await Contender.make(teardown, 'containerd', daemon.socket, data, `${server.cgroup}/containerd`));
  }
  const rates = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const { name, moves } of contenders) {
      for (const [what, move] of Object.entries(moves)) {
        const start = performance.now();
        const bytes = await move();
        if (bytes !== BYTES) throw new Error(`${name}: ${what}: ${String(bytes)} bytes of ${String(BYTES)}`);
        const rate = mebibytes / ((performance.now() - start) / 1000);
        rates.set(`${name} ${what}`, [...(rates.get(`${name} ${what}`) ?? []), rate]);
      }
    }
  }
  console.log(`${String(mebibytes)} MiB, ${String(rounds)} rounds, medians in MiB/s:`);
  for (const what of Object.keys(contenders[0]?.moves ?? {})) {
    const values = contenders.map(({ name }) => ({ name, rate: median(rates.get(`${name} ${what}`) ?? []) }));
    const ours = values[0]?.rate ?? NaN;
    const words = values.map(({ name, rate }) => `${name} ${rate.toFixed(0)} (${(rate / ours).toFixed(2)})`);
    console.log(`${what.padEnd(18)} ${words.join('  ')}`);
  }
} finally {
  for (const step of steps.reverse()) {
    try {
      await step();
    } catch (error) {
      console.error('clean-up:', error);
    }
  }
}
