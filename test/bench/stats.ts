// Measures statistics and metrics of many containers on this checkout's server.
//
//   test/sandbox node_modules/.bin/node test/bench/stats.ts [CONTAINERS [ROUNDS]]     500 and 9
//
// Prints for each RPC medians of milliseconds, of the server's processor time, of the slowest Version beside it, and the bytes of the
// answer; ten containers in a pod, pods of both handlers in turn.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ListContainerStatsResponse,
  ListPodSandboxMetricsResponse,
  ListPodSandboxStatsResponse,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import { forEach } from '../../src/utils/async/for-each.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { processIds } from '../lib/processes.ts';
import { median } from './contenders.ts';

const [containers = 500, rounds = 9] = process.argv.slice(2).map(Number);
const PER_POD = 10;
const AT_ONCE = 4;
/** A sample is shared for half a second, and disk usage is measured again after ten. */
const PAUSE_MS = 1000;

interface Cost {
  ms: number;
  cpuMs: number;
  slowestMs: number;
  bytes: number;
}

async function serverOf({ directory }: ServerFixture): Promise<number> {
  for (const pid of await processIds()) {
    const command = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
    const [, ...words] = command.split('\0');
    if (words.includes('serve') && command.includes(directory)) return pid;
  }
  throw new Error('the server is gone');
}

/** Milliseconds of processor time of a process with its threads (proc_pid_stat(5), in ticks of 10 ms). */
async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function timed(call: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await call();
  return performance.now() - begin;
}

async function costOf(server: ServerFixture, pid: number, list: () => Promise<number>): Promise<Cost> {
  const before = await cpuOf(pid);
  const begin = performance.now();
  let [isOver, slowestMs] = [false, 0];
  const listing = list().finally(() => (isOver = true));
  const beside = (async () => {
    while (!isOver) {
      const ms = await timed(() => server.client.call(RuntimeServiceService.version, { version: '' }));
      slowestMs = Math.max(slowestMs, ms);
    }
  })();
  const bytes = await listing;
  const ms = performance.now() - begin;
  await beside;
  return { ms, cpuMs: (await cpuOf(pid)) - before, slowestMs, bytes };
}

const undo: (() => unknown)[] = [];
const owner = { teardown: (step: () => unknown) => void undo.push(step), log: console.log, passed: true };
try {
  const server = await ServerFixture.make(owner as Parameters<typeof ServerFixture.make>[0]);
  const { client } = server;
  const pods = Array.from({ length: Math.ceil(containers / PER_POD) }, (_, index) => index);
  await forEach(pods, AT_ONCE, async (number) => {
    const pod = await server.pod(`p${String(number)}`, {}, number % 2 === 0 ? 'lxc' : 'crun');
    const mine = Math.min(PER_POD, containers - number * PER_POD);
    for (let each = 0; each < mine; each += 1) await server.sh(pod, `c${String(each)}`, 'exec sleep 100000');
  });
  const pid = await serverOf(server);
  const filter = undefined;
  const calls: Record<string, () => Promise<number>> = {
    ListContainerStats: async () => {
      const answer = await client.call(RuntimeServiceService.listContainerStats, { filter });
      return ListContainerStatsResponse.encode(answer).finish().length;
    },
    ListPodSandboxStats: async () => {
      const answer = await client.call(RuntimeServiceService.listPodSandboxStats, { filter });
      return ListPodSandboxStatsResponse.encode(answer).finish().length;
    },
    ListPodSandboxMetrics: async () => {
      const answer = await client.call(RuntimeServiceService.listPodSandboxMetrics, {});
      return ListPodSandboxMetricsResponse.encode(answer).finish().length;
    },
  };
  for (const [name, list] of Object.entries(calls)) {
    const first = await costOf(server, pid, list);
    const costs: Cost[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await sleep(PAUSE_MS);
      costs.push(await costOf(server, pid, list));
    }
    const of = (key: keyof Cost) => median(costs.map((cost) => cost[key])).toFixed(0);
    console.log(
      `${name} of ${String(containers)} containers: ${of('ms')} ms (the first ${first.ms.toFixed(0)}), ${of('cpuMs')} ms of CPU, ` +
        `Version beside it at most ${of('slowestMs')} ms, ${(Number(of('bytes')) / 2 ** 20).toFixed(2)} MiB`,
    );
  }
} finally {
  for (const step of undo.reverse()) await step();
}
