// Compares the pod lifecycle on this checkout's server and on another's, in one run: milliseconds and processes per
// RPC.
//
//   test/sandbox node_modules/.bin/node test/bench/pods.ts CHECKOUT [LIVES [AT_ONCE [HANDLER]]]     16, 1 and crun
//
// The two take turns. Prints medians, and this checkout's divided by the other's. Processes and threads that a call begins
// are counted by the pids that the sandbox assigns, which only one pod at a time allows. CHECKOUT has its node_modules.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { median } from './contenders.ts';

const [other, lives = '16', atOnce = '1', handler = 'crun'] = process.argv.slice(2);
if (other === undefined)
  throw new Error('usage: test/sandbox node_modules/.bin/node test/bench/pods.ts CHECKOUT [LIVES [AT_ONCE]]');

interface Figures {
  ms: number[];
  processes: number[];
}

/** The last pid that this PID namespace has assigned. */
const lastPid = async () => Number(await readFile('/proc/sys/kernel/ns_last_pid', 'utf8'));

async function live(server: ServerFixture, name: string, figures: Map<string, Figures>): Promise<void> {
  const timed = async <T>(call: string, work: () => Promise<T>): Promise<T> => {
    const [pid, start] = [await lastPid(), performance.now()];
    const result = await work();
    const taken = figures.get(call) ?? { ms: [], processes: [] };
    taken.ms.push(performance.now() - start);
    taken.processes.push((await lastPid()) - pid);
    figures.set(call, taken);
    return result;
  };
  const { client } = server;
  await timed('whole life', async () => {
    const pod = await timed('RunPodSandbox', () => server.pod(name, {}, handler));
    const containerId = await timed('CreateContainer', () =>
      server.create(pod, 'main', { command: ['sleep', '1000'] }),
    );
    await timed('StartContainer', () => client.call(RuntimeServiceService.startContainer, { containerId }));
    await timed('ExecSync', () => server.exec(containerId, 'true'));
    await timed('StopContainer', () => client.call(RuntimeServiceService.stopContainer, { containerId, timeout: 0n }));
    await timed('RemoveContainer', () => client.call(RuntimeServiceService.removeContainer, { containerId }));
    await timed('StopPodSandbox', () => client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod }));
    await timed('RemovePodSandbox', () => client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod }));
  });
}

const steps: (() => unknown)[] = [];
const owner = { teardown: (step: () => unknown) => void steps.push(step), log: console.log, passed: true } as never;
try {
  const contenders: { name: string; server: ServerFixture; figures: Map<string, Figures> }[] = [];
  for (const [name, checkout] of [
    ['this', process.cwd()],
    ['other', resolve(other)],
  ] as const) {
    contenders.push({
      name,
      server: await ServerFixture.make(owner, '', { checkout, settled: false }),
      figures: new Map(),
    });
  }
  // The first run creates what is created once.
  for (const { server } of contenders) await live(server, 'warm', new Map());
  for (let done = 0; done < Number(lives); done += Number(atOnce)) {
    for (const { server, figures } of done % 2 === 0 ? contenders : contenders.toReversed()) {
      const names = Array.from({ length: Number(atOnce) }, (_, index) => `life-${String(done + index)}`);
      await Promise.all(names.map((name) => live(server, name, figures)));
    }
  }
  const [mine, theirs] = contenders.map(({ figures }) => figures);
  const calls = [...(mine?.keys() ?? [])];
  console.log(`${lives} lives, ${atOnce} at once, ${handler}; this checkout, ${other}, ratio`);
  for (const call of calls) {
    const cells = (['ms', 'processes'] as const).map((what) => {
      const [a, b] = [median(mine?.get(call)?.[what] ?? []), median(theirs?.get(call)?.[what] ?? [])];
      if (what === 'processes') return atOnce === '1' ? `${String(a)} and ${String(b)} processes and threads` : '';
      return `${a.toFixed(1)} ms, ${b.toFixed(1)} ms, ${(a / b).toFixed(2)}`;
    });
    console.log(`${call.padEnd(17)} ${cells.join('; ')}`);
  }
} finally {
  for (const step of steps.reverse()) await step();
}
