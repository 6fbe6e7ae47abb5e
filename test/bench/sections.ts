import { setTimeout as sleep } from 'node:timers/promises';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ContainerState,
  ImageServiceService,
  ListContainersRequest,
  ListPodSandboxRequest,
  RemoveImageRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import { forEach } from '../../src/utils/async/for-each.ts';
import { eventually, HANG_MS } from '../lib/eventually.ts';
import { PULLED } from './bench-images.ts';
import type { Contender } from './contender.ts';
import type { Figures } from './figures.ts';
import { live, MARK, type PodOptions, startPod } from './requests.ts';

/** What lives of pods can be measured of: a server, or the program that does the same without one. */
export interface Liver {
  name: string;
  cpuMs: () => Promise<number>;
  /** Runs pods from start to removal, one after the other or all at once. */
  lives: (
    names: string[],
    together: boolean,
    options: PodOptions,
    took: (what: string, ms: number) => void,
  ) => Promise<void>;
}

/** Processor time that a removal still takes after its answer is counted. */
const SETTLE_MS = 200;

export const liverOf = (contender: Contender): Liver => ({
  name: contender.name,
  cpuMs: () => contender.cpuMs(),
  async lives(names, together, options, took) {
    if (together) await Promise.all(names.map((name) => live(contender, name, options, took)));
    else for (const name of names) await live(contender, name, options, took);
  },
});

/** In turn, batches of lives; the order rotates. */
export async function measureLives(
  livers: Liver[],
  figures: Figures,
  { prefix, atOnce, lives, ...options }: PodOptions & { prefix: string; atOnce: number; lives: number },
): Promise<void> {
  const batch = Math.max(atOnce, 2);
  for (let round = 0; round < Math.ceil(lives / batch); round += 1) {
    for (const each of rotated(livers, round)) {
      const took = (what: string, ms: number) => {
        figures.add(prefix + what, each.name, ms);
      };
      const names = Array.from({ length: batch }, (_, index) => `p${String(index)}`);
      const [cpu, begin] = [await each.cpuMs(), performance.now()];
      await each.lives(names, atOnce > 1, options, took);
      took('wall ms a life', (performance.now() - begin) / batch);
      await sleep(SETTLE_MS);
      took('CPU ms a life', ((await each.cpuMs()) - cpu) / batch);
    }
  }
}

/** Lists, statuses and statistics at 10 containers and more, memory of the runtime, and recovery, on growing servers. */
export async function measureDensity(contenders: Contender[], figures: Figures, pods: number[]): Promise<void> {
  let running = 0;
  for (const count of [0, ...pods]) {
    for (const contender of contenders) {
      const numbers = Array.from({ length: count - running }, (_, index) => running + index);
      await forEach(numbers, 4, async (number) => void (await startPod(contender, `d${String(number)}`)));
    }
    running = count;
    await sleep(2000);
    for (const contender of contenders) await memory(contender, figures, `${String(count)} pods`);
    for (let round = 0; count > 0 && round < 40; round += 1)
      for (const each of rotated(contenders, round)) await lists(each, figures, count, round);
  }
  if (running > 0) for (const contender of contenders) await recovery(contender, figures, running);
}

async function memory(contender: Contender, figures: Figures, when: string): Promise<void> {
  const { all, server } = await contender.pss();
  figures.add(`memory: MB in all, ${when}`, contender.name, all / 1024);
  figures.add(`memory: MB of the server, ${when}`, contender.name, server / 1024);
}

async function lists({ client, name }: Contender, figures: Figures, count: number, round: number): Promise<void> {
  const timed = async <R>(what: string, work: () => Promise<R>): Promise<R> => {
    const begin = performance.now();
    const result = await work();
    figures.add(`lists: ${String(count)} containers, ${what}, ms`, name, performance.now() - begin);
    return result;
  };
  const filter = undefined;
  const { containers } = await timed('ListContainers', () =>
    client.call(RuntimeServiceService.listContainers, ListContainersRequest.create()),
  );
  await timed('ListPodSandbox', () =>
    client.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create()),
  );
  const containerId = containers[round % containers.length]?.id ?? '';
  await timed('ContainerStatus', () =>
    client.call(RuntimeServiceService.containerStatus, { containerId, verbose: false }),
  );
  await timed('ImageFsInfo', () => client.call(ImageServiceService.imageFsInfo, {}));
  // The kubelet asks every ten seconds, and a sample may be shared for a moment.
  if (round % 8 !== 0) return;
  await sleep(1000);
  await timed('ListContainerStats', () => client.call(RuntimeServiceService.listContainerStats, { filter }));
}

/** Milliseconds from the start of a killed server to an answer that has all containers as running. */
async function recovery(contender: Contender, figures: Figures, count: number): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await contender.end('SIGKILL');
    const begin = performance.now();
    await contender.start();
    await eventually('all containers running', async () => {
      const { containers } = await contender.client.call(
        RuntimeServiceService.listContainers,
        ListContainersRequest.create(),
      );
      return containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING).length === count;
    });
    figures.add(`recovery: ms of ${String(count)} containers`, contender.name, performance.now() - begin);
  }
  await sleep(2000);
  await memory(contender, figures, `${String(count)} pods, restarted`);
}

/** Milliseconds and processor time from the start of the process to its first answer. */
export async function measureStarts(contenders: Contender[], figures: Figures, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of rotated(contenders, round)) {
      await contender.end();
      const cpu = await contender.cpuMs();
      figures.add('start: ms to the first answer', contender.name, await contender.start());
      figures.add('start: CPU ms', contender.name, (await contender.cpuMs()) - cpu);
    }
  }
}

/** Pulls of an image with many small files and of one with a large layer, and the server's memory afterwards. */
export async function measurePulls(
  contenders: Contender[],
  figures: Figures,
  registry: string,
  rounds: number,
): Promise<void> {
  for (const [what, image] of Object.entries(PULLED)) {
    const name = `${registry}/${image}`;
    for (let round = 0; round < rounds; round += 1) {
      for (const contender of rotated(contenders, round)) {
        const [cpu, begin] = [await contender.cpuMs(), performance.now()];
        await contender.pull(name);
        figures.add(`pull: ${what}, ms`, contender.name, performance.now() - begin);
        figures.add(`pull: ${what}, CPU ms`, contender.name, (await contender.cpuMs()) - cpu);
        await contender.client.call(
          ImageServiceService.removeImage,
          RemoveImageRequest.create({ image: { image: name } }),
          { timeoutMs: HANG_MS },
        );
      }
    }
  }
  await sleep(5000);
  for (const contender of contenders)
    figures.add('pull: RSS of the server 5 s afterwards, MB', contender.name, await rss(contender));
}

async function rss(contender: Contender): Promise<number> {
  const [pid] = await contender.serverPids();
  const text = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? NaN) / 1024;
}

/** Containers that write `lines` lines of 100 bytes each: time until the logs have them, and processor time. */
export async function measureLogs(
  contenders: Contender[],
  figures: Figures,
  { containers, lines, rounds }: { containers: number; lines: number; rounds: number },
): Promise<void> {
  const what = `logs: ${String(containers)} containers, ${String(lines)} lines each, `;
  const numbers = Array.from({ length: containers }, (_, index) => index);
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of rotated(contenders, round)) {
      const gate = join(contender.directory, 'volumes/config/go');
      await rm(gate, { force: true });
      const text = `yes ${'x'.repeat(99)} | head -n ${String(lines)}; echo written`;
      const script = `: ${MARK}; until [ -e /var/run/config/go ]; do sleep 0.2; done; ${text}; exec sleep 100000`;
      const logs: string[] = [];
      await forEach(numbers, 4, async (number) => {
        const { log } = await startPod(contender, `log${String(number)}`, ['sh', '-c', script]);
        logs.push(log);
      });
      const [cpu, begin] = [await contender.cpuMs(), performance.now()];
      await writeFile(gate, '');
      await Promise.all(logs.map((log) => eventually(`the end of ${log}`, () => endsWritten(log))));
      figures.add(`${what}ms`, contender.name, performance.now() - begin);
      figures.add(`${what}CPU ms`, contender.name, (await contender.cpuMs()) - cpu);
      await contender.clear();
    }
  }
}

async function endsWritten(log: string): Promise<boolean> {
  await using file = await open(log);
  const { size } = await file.stat();
  const bytes = Buffer.alloc(Math.min(size, 20));
  await file.read(bytes, 0, bytes.length, size - bytes.length);
  return bytes.toString().endsWith('written\n');
}

const rotated = <T>(list: readonly T[], by: number): T[] => list.map((_, index) => list[(index + by) % list.length]!);
