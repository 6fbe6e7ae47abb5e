import { readFile, readdir } from 'node:fs/promises';
import { ContainerState, ContainerStatusRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { failedPrecondition } from '../../core/model/errors.ts';
import type { CliContext, Input } from '../command.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatBytes } from '../output/units.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/** USER_HZ, 100 on x86-64 and arm64 (time(7)). */
const TICKS_PER_SECOND = 100;

/** Prints the processes of a container with their pids on the node; the image needs no ps(1). @throws CriError */
export async function showProcesses(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const { id: containerId } = await resolve(server, input.args[0] ?? '', ['container']);
  const request = ContainerStatusRequest.create({ containerId, verbose: true });
  const { status, info } = await server.call(RuntimeServiceService.containerStatus, request);
  const { pid = 0 } = JSON.parse(info['info'] ?? '{}') as { pid?: number };
  if (status?.state !== ContainerState.CONTAINER_RUNNING || pid === 0) {
    throw failedPrecondition(`container ${containerId} is not running`);
  }
  const cgroups = await readText(`/proc/${String(pid)}/cgroup`);
  const rows: string[][] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || !isBelow(await readText(`/proc/${name}/cgroup`), cgroups)) continue;
    const row = await processRow(name);
    if (row !== undefined) rows.push(row);
  }
  context.stdout.write(
    formatTable(['PID', 'PPID', 'UID', 'STATE', 'TIME', 'RSS', 'COMMAND'], rows, tableWidth(context, input)),
  );
}

/** Whether a process is in the cgroups of `above` or below them (cgroups(7): `ID:CONTROLLERS:PATH` lines). */
function isBelow(text: string, above: string): boolean {
  if (text === '' || above === '') return false;
  const paths = new Map(above.split('\n').map(entry));
  return text.split('\n').every((line) => {
    const [hierarchy, path] = entry(line);
    const parent = paths.get(hierarchy);
    return parent !== undefined && (path === parent || path.startsWith(`${parent}/`) || parent === '/');
  });
}

function entry(line: string): [string, string] {
  const [hierarchy = '', controllers = '', ...path] = line.split(':');
  return [`${hierarchy}:${controllers}`, path.join(':')];
}

/** undefined when the process has exited. */
async function processRow(pid: string): Promise<string[] | undefined> {
  const [status, stat, command] = await Promise.all(
    ['status', 'stat', 'cmdline'].map((file) => readText(`/proc/${pid}/${file}`)),
  );
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status ?? '')?.[1] ?? '';
  // proc_pid_stat(5): the name is in parentheses and may contain any; utime and stime are the 14th and 15th field.
  const after = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  if (after.length < 13) return undefined;
  const seconds = Math.floor((Number(after[11]) + Number(after[12])) / TICKS_PER_SECOND);
  const words = command?.replaceAll('\0', ' ').trim();
  return [
    pid,
    field('PPid'),
    field('Uid'),
    field('State'),
    `${String(Math.floor(seconds / 60))}:${String(seconds % 60).padStart(2, '0')}`,
    formatBytes(BigInt(field('VmRSS') || '0') * 1024n),
    words === undefined || words === '' ? `[${field('Name')}]` : words,
  ];
}

/** '' when it does not exist. */
async function readText(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd();
  } catch {
    return '';
  }
}
