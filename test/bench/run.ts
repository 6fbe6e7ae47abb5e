import { mkdtemp, rm, chmod } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBenchRegistry, TINY } from './bench-images.ts';
import { Contender, ourCommand, peerCommand } from './contender.ts';
import { live } from './requests.ts';

const PORT = 5910;
const { values } = parseArgs({
  options: {
    contenders: { type: 'string', default: 'crun,lxc,crio+crun' },
    'at-once': { type: 'string', default: '1,8' },
    lives: { type: 'string', default: '16' },
    bundle: { type: 'string', default: '.cache/bundle' },
    runtime: { type: 'string', default: process.env['PEER_CRUN'] ?? 'crun' },
    host: { type: 'boolean', default: false },
  },
});

const quantile = (list: number[], q: number) => {
  const sorted = list.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
};

const directory = await mkdtemp('/tmp/bench-');
await chmod(directory, 0o711);
const registry = await startBenchRegistry(directory, PORT);
const image = `${registry.address}/${TINY}`;
const contenders: Contender[] = [];
try {
  for (const [number, name] of values.contenders.split(',').entries()) {
    const [kind = '', runtime = ''] = name.split('+');
    const isOurs = kind === 'crun' || kind === 'lxc';
    const contender = new Contender(name, {
      number,
      directory,
      image,
      handler: isOurs ? kind : '',
      command: isOurs
        ? ourCommand(values.bundle, values.runtime)
        : peerCommand(kind, registry.address, [`PEER_RUNTIME=${runtime}`]),
    });
    contenders.push(contender);
    await contender.prepare();
    console.log(name, 'start', (await contender.start()).toFixed(0));
    await contender.pull(image);
    if (!isOurs) await contender.pull(`${registry.address}/bench/pause:1`);
    await live(contender, 'warm', {}, () => undefined);
  }
  for (const atOnce of values['at-once'].split(',').map(Number)) {
    const taken = new Map<Contender, Map<string, number[]>>(contenders.map((each) => [each, new Map()]));
    const rounds = Math.ceil(Number(values.lives) / Math.max(atOnce, 2));
    const batch = Math.max(atOnce, 2);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < contenders.length; turn++) {
        const contender = contenders[(round + turn) % contenders.length]!;
        const figures = taken.get(contender)!;
        const took = (what: string, ms: number) => {
          figures.set(what, [...(figures.get(what) ?? []), ms]);
        };
        const before = await contender.cpuMs();
        const names = Array.from({ length: batch }, (_, index) => `p${String(index)}`);
        if (atOnce === 1) for (const name of names) await live(contender, name, { isHostNetwork: values.host }, took);
        else await Promise.all(names.map((name) => live(contender, name, { isHostNetwork: values.host }, took)));
        await sleep(200);
        took('CPU ms a life', ((await contender.cpuMs()) - before) / batch);
      }
    }
    console.log(
      `\n${String(atOnce)} at once, ${String(rounds * batch)} lives, load ${loadavg()
        .map((l) => l.toFixed(1))
        .join(' ')}; median/p90/p99, ratio of medians to the last`,
    );
    const calls = [...taken.values().next().value!.keys()];
    const reference = contenders.at(-1)!;
    console.log(['', ...contenders.map(({ name }) => name)].join('\t'));
    for (const call of calls) {
      const cells = contenders.map((contender) => {
        const list = taken.get(contender)!.get(call) ?? [];
        const ratio = quantile(list, 0.5) / quantile(taken.get(reference)!.get(call) ?? [], 0.5);
        return `${[0.5, 0.9, 0.99].map((q) => quantile(list, q).toFixed(1)).join('/')} x${ratio.toFixed(2)}`;
      });
      console.log([call.padEnd(18), ...cells].join('\t'));
    }
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const contender of contenders.toReversed()) await contender[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}
