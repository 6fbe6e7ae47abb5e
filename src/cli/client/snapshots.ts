import {
  CheckpointRootfsRequest,
  CreateSnapshotRequest,
  ListSnapshotsRequest,
  RemoveSnapshotRequest,
  RestoreRootfsRequest,
  RootfsSnapshotsService,
  type Snapshot,
  SnapshotKind,
} from '../../../api/gen/cri.ts';
import { defined } from '../../utils/object.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatAge, formatBytes } from '../output/units.ts';
import { wholeNumber } from '../values.ts';
import { resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/** The server has limits of its own for each step. */
const CALL = { timeoutMs: 0 };

const KINDS: Record<number, string> = {
  [SnapshotKind.SNAPSHOT_KIND_SNAPSHOT]: 'snapshot',
  [SnapshotKind.SNAPSHOT_KIND_CHECKPOINT]: 'checkpoint',
};

/** Makes a snapshot and prints its name. @throws CriError */
export async function makeSnapshot(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [, name = ''] = input.args;
  const request = CreateSnapshotRequest.create({ containerId: await containerOf(server, input), name });
  print(context, input, await server.call(RootfsSnapshotsService.createSnapshot, request, CALL));
}

/** Removes a snapshot. @throws CriError, UsageError without its name. */
export async function removeSnapshot(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [, name] = input.args;
  if (name === undefined) throw new UsageError('--remove: requires the NAME of a snapshot');
  const request = RemoveSnapshotRequest.create({ containerId: await containerOf(server, input), name });
  await server.call(RootfsSnapshotsService.removeSnapshot, request, CALL);
  if (input.text('output') === 'json') context.stdout.write(formatJson({ name }));
  else context.stdout.write(`${name}\n`);
}

/** Prints the snapshots of a container, the oldest first. @throws CriError */
export async function listSnapshots(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const request = ListSnapshotsRequest.create({ containerId: await containerOf(server, input) });
  const { snapshots } = await server.call(RootfsSnapshotsService.listSnapshots, request);
  if (input.has('quiet')) {
    context.stdout.write(snapshots.map(({ name }) => `${name}\n`).join(''));
  } else if (input.text('output') === 'json') {
    context.stdout.write(formatJson({ snapshots }));
  } else {
    const rows = snapshots.map(({ name, kind, createdAt, usedBytes, dependents }) => [
      name,
      KINDS[kind] ?? 'other',
      formatAge(createdAt),
      formatBytes(usedBytes),
      dependents.join(', '),
    ]);
    const headings = ['SNAPSHOT', 'KIND', 'AGE', 'USED', 'IN USE BY'];
    context.stdout.write(formatTable(headings, rows, tableWidth(context, input)));
  }
}

/** Makes a checkpoint and prints its name. @throws CriError, UsageError */
export async function makeCheckpoint(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const limits = defined({ keepCount: limit(input, 'keep-count'), keepDays: limit(input, 'keep-days') });
  const request = CheckpointRootfsRequest.create({ containerId: await containerOf(server, input), ...limits });
  print(context, input, await server.call(RootfsSnapshotsService.checkpointRootfs, request, CALL));
}

/** Takes the files of a container back, and prints to which snapshot. @throws CriError */
export async function restoreSnapshot(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [, name = ''] = input.args;
  const containerId = await containerOf(server, input);
  const force = input.has('force');
  const request = RestoreRootfsRequest.create({ containerId, name, discardNewer: input.has('discard-newer'), force });
  print(context, input, await server.call(RootfsSnapshotsService.restoreRootfs, request, CALL));
}

interface Outcome {
  snapshot: Snapshot | undefined;
  frozenMs?: number;
  removed?: readonly string[];
}

/** The snapshot's name; what else has happened goes to standard error. */
function print(context: CliContext, input: Input, outcome: Outcome): void {
  if (input.text('output') === 'json') {
    context.stdout.write(formatJson(outcome));
    return;
  }
  const { snapshot, frozenMs = 0, removed = [] } = outcome;
  context.stdout.write(`${snapshot?.name ?? ''}\n`);
  if (frozenMs > 0) context.stderr.write(`frozen for ${String(frozenMs)} ms\n`);
  for (const name of removed) context.stderr.write(`${name} removed\n`);
}

function limit(input: Input, option: string): number | undefined {
  const text = input.text(option);
  return text === undefined ? undefined : wholeNumber(option, text, 0, 100_000);
}

async function containerOf(server: ServerClient, { args: [word = ''] }: Input): Promise<string> {
  return (await resolve(server, word, ['container'])).id;
}
