import { setTimeout as sleep } from 'node:timers/promises';
import { type ContainerStats, ListContainerStatsRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatBytes, shortId } from '../output/units.ts';
import { untilSignal } from '../until-signal.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

const INTERVAL_MS = 1000;
/** ECMA-48: cursor to the first line, and erase everything below. */
const REDRAW = '\u001b[H\u001b[J';

/** Usage of one container. */
interface Usage {
  id: string;
  name: string;
  /** Fraction of one CPU between two samples. */
  cpuPercent: number;
  memoryBytes: bigint;
  /** undefined: none. */
  memoryLimitBytes: bigint | undefined;
  writtenBytes: bigint;
}

/** Prints the usage of containers, once or every second until a signal arrives. @throws CriError */
export async function showStats(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const ids = await Promise.all(input.args.map(async (word) => (await resolve(server, word, ['container'])).id));
  const look = async () => {
    const request = ListContainerStatsRequest.create();
    const { stats } = await server.call(RuntimeServiceService.listContainerStats, request);
    return stats.filter(({ attributes }) => ids.length === 0 || ids.includes(attributes?.id ?? ''));
  };
  const once = input.has('no-stream');
  const ended = new AbortController();
  void untilSignal(context).then(() => {
    ended.abort();
  });
  let before = await look();
  for (;;) {
    await sleep(INTERVAL_MS, undefined, { signal: ended.signal }).catch(() => undefined);
    if (ended.signal.aborted) return;
    const now = await look();
    const usages = now.map((stats) => usageOf(stats, before));
    before = now;
    context.stdout.write(format(context, usages, input, once));
    if (once) return;
  }
}

function usageOf({ attributes, cpu, memory, writableLayer }: ContainerStats, before: readonly ContainerStats[]): Usage {
  const earlier = before.find((stats) => stats.attributes?.id === attributes?.id)?.cpu;
  const used = (cpu?.usageCoreNanoSeconds?.value ?? 0n) - (earlier?.usageCoreNanoSeconds?.value ?? 0n);
  const passed = (cpu?.timestamp ?? 0n) - (earlier?.timestamp ?? 0n);
  const working = memory?.workingSetBytes?.value ?? 0n;
  const available = memory?.availableBytes?.value;
  return {
    id: attributes?.id ?? '',
    name: attributes?.metadata?.name ?? '',
    cpuPercent: earlier === undefined || passed <= 0n ? 0 : Number((used * 10_000n) / passed) / 100,
    memoryBytes: working,
    memoryLimitBytes: available === undefined ? undefined : working + available,
    writtenBytes: writableLayer?.usedBytes?.value ?? 0n,
  };
}

function format(context: CliContext, usages: readonly Usage[], input: Input, once: boolean): string {
  if (input.text('format') === 'json') {
    const text = formatJson({ stats: usages });
    return once ? text : `${JSON.stringify(JSON.parse(text))}\n`;
  }
  const rows = usages.map(({ id, name, cpuPercent, memoryBytes, memoryLimitBytes, writtenBytes }) => [
    shortId(id, input.has('no-trunc')),
    name,
    `${cpuPercent.toFixed(2)}%`,
    formatBytes(memoryBytes),
    memoryLimitBytes === undefined ? '' : formatBytes(memoryLimitBytes),
    formatBytes(writtenBytes),
  ]);
  const table = formatTable(
    ['CONTAINER', 'NAME', 'CPU', 'MEMORY', 'LIMIT', 'WRITTEN'],
    rows,
    tableWidth(context, input),
  );
  return `${!once && context.stdout.isTTY === true ? REDRAW : ''}${table}`;
}
