// The program of test/bench/run, which documents its options.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { run } from '../../src/host/processes/run.ts';
import { bareLiver } from './bare.ts';
import { PAUSE, startBenchRegistry, TINY } from './bench-images.ts';
import { Contender, ourCommand, peerCommand } from './contender.ts';
import { Figures, plot } from './figures.ts';
import { live } from './requests.ts';
import {
  type Liver,
  liverOf,
  measureDensity,
  measureLives,
  measureLogs,
  measurePulls,
  measureStarts,
} from './sections.ts';

const PORT = 5910;
const { values } = parseArgs({
  options: {
    contenders: { type: 'string', default: 'crun,lxc,crio+crun,containerd+crun,containerd+runc,bare,bare+conmon' },
    sections: { type: 'string', default: 'lives,host,density,starts,pulls,logs' },
    'at-once': { type: 'string', default: '1,4,8,16' },
    lives: { type: 'string', default: '16' },
    pods: { type: 'string', default: '10,20,100,300' },
    rounds: { type: 'string', default: '3' },
    runtime: { type: 'string', default: process.env['PEER_CRUN'] ?? 'crun' },
    plot: { type: 'string' },
  },
});
const names = values.contenders.split(',');
const sections = values.sections.split(',');
const [lives, rounds] = [Number(values.lives), Number(values.rounds)];
const numbers = (list: string) => list.split(',').map(Number);
const isOurs = (name: string) => /^(?:crun|lxc)(?:@|$)/.test(name);
const isBare = (name: string) => name.startsWith('bare');
const reference = names.find((name) => !isOurs(name) && !isBare(name)) ?? names.at(-1)!;

const directory = await mkdtemp('/tmp/bench-');
await chmod(directory, 0o711);
const undo: AsyncDisposable[] = [];
const figures = new Figures();

/** Starts a contender with its images, and runs one pod, which makes what is made once. */
async function startContender(name: string, number: number, registry: string): Promise<Contender> {
  const [, kind = '', detail = ''] = /^([a-z]+)[+@]?(.*)$/.exec(name) ?? [];
  const contender = new Contender(name, {
    number,
    directory,
    image: `${registry}/${TINY}`,
    handler: isOurs(name) ? kind : '',
    command: isOurs(name)
      ? ourCommand(detail || '.cache/bundle', values.runtime)
      : peerCommand(kind, registry, { PEER_RUNTIME: detail }),
  });
  undo.push(contender);
  await contender.prepare();
  if (isBare(name)) return contender;
  await contender.start();
  await contender.pull(contender.image);
  if (!isOurs(name)) await contender.pull(`${registry}/${PAUSE}`);
  await live(contender, 'warm', {}, () => undefined);
  return contender;
}

/** Measures a section and prints its table as soon as it is there. */
async function section(title: string, prefixes: string[], measure: () => Promise<void>): Promise<void> {
  const [before, begin] = [loadavg()[0] ?? 0, performance.now()];
  await measure();
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  const load = [before, loadavg()[0] ?? 0].map((value) => value.toFixed(1)).join(' to ');
  console.log(`\n${title} (load ${load}, ${seconds} s):\n`);
  for (const prefix of prefixes) console.log(`${figures.table(prefix, names, reference)}\n`);
}

try {
  const registry = await startBenchRegistry(directory, PORT, sections.includes('pulls'));
  undo.push(registry);
  const contenders: Contender[] = [];
  const livers: Liver[] = [];
  for (const [number, name] of names.entries()) {
    const contender = await startContender(name, number, registry.address);
    if (isBare(name)) livers.push(await bareLiver(contender, values.runtime, name.endsWith('conmon')));
    else {
      contenders.push(contender);
      livers.push(liverOf(contender));
    }
  }
  const { stdout: commit } = await run('git', ['rev-parse', '--short', 'HEAD']);
  console.log(
    `${new Date().toISOString().slice(0, 16)}, commit ${commit.trim()}, ${String(cpus().length)} processors, Linux ${release()}.` +
      ` Median/p90/p99 where there are 8 samples or more; in brackets the ratio of medians to ${reference}.`,
  );
  const plotted: string[] = [];
  for (const isHostNetwork of [false, true]) {
    if (!sections.includes(isHostNetwork ? 'host' : 'lives')) continue;
    for (const atOnce of isHostNetwork ? [1, 8] : numbers(values['at-once'])) {
      const prefix = `${String(atOnce)} at once${isHostNetwork ? ', host network' : ''}: `;
      await section(`Lives of pods, ${prefix.slice(0, -2)}, ms`, [prefix], () =>
        measureLives(livers, figures, { prefix, atOnce, lives, isHostNetwork }),
      );
      for (const what of ['first log line', 'whole life', 'CPU ms a life']) plotted.push(prefix + what);
    }
  }
  if (sections.includes('starts'))
    await section('Start', ['start: '], () => measureStarts(contenders, figures, rounds));
  if (sections.includes('pulls'))
    await section('Pulls', ['pull: '], () => measurePulls(contenders, figures, registry.address, rounds));
  if (sections.includes('logs'))
    await section('Logs', ['logs: '], async () => {
      await measureLogs(contenders, figures, { containers: 1, lines: 500_000, rounds });
      await measureLogs(contenders, figures, { containers: 20, lines: 50_000, rounds });
    });
  if (sections.includes('density')) {
    const pods = numbers(values.pods);
    await section('Many pods', ['lists: ', 'memory: ', 'recovery: '], () => measureDensity(contenders, figures, pods));
    for (const what of ['ListContainers', 'ContainerStatus', 'ListContainerStats'])
      plotted.push(`lists: ${String(pods.at(-1))} containers, ${what}, ms`);
    for (const count of [0, ...pods]) plotted.push(`memory: MB in all, ${String(count)} pods`);
  }
  if (values.plot !== undefined)
    await writeFile(values.plot, plot(figures, { names: plotted, contenders: names, reference }));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const each of undo.toReversed()) await each[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}
