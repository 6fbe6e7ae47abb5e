import {
  ListPodSandboxRequest,
  type PodSandbox,
  PodSandboxState,
  PodSandboxStatusRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { isNotFound } from '../../core/model/errors.ts';
import { forEach } from '../../utils/async/for-each.ts';
import type { CliContext, Input } from '../command.ts';
import { nameLines } from '../output/names.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatAge, shortId } from '../output/units.ts';
import { parseInfo } from './inspect.ts';
import type { ServerClient } from './server.ts';

/** Maximum number of statuses that are asked for at a time. */
const AT_ONCE = 8;

const COLUMNS = ['POD ID', 'AGE', 'STATE', 'NAME', 'NAMESPACE', 'ATTEMPT', 'HANDLER'];

/** The columns that `--wide` adds, by the fields of a pod's verbose information that they show. */
const WIDE = { 'CHOSEN BY': 'handlerChosenBy', VMID: 'vmid', NODE: 'node', ORIGIN: 'origin' } as const;
const NONE = Object.keys(WIDE).map(() => '');

/** Prints the pod sandboxes, newest first; `--wide` adds what chose their handlers, and their guests of Proxmox VE. */
export async function listPods(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const { items } = await server.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create());
  items.sort((a, b) => Number(b.createdAt - a.createdAt));
  if (input.has('quiet')) {
    context.stdout.write(items.map(({ id }) => `${id}\n`).join(''));
  } else if (input.has('names')) {
    context.stdout.write(nameLines(items));
  } else if (input.text('output') === 'json') {
    context.stdout.write(formatJson({ items }));
  } else {
    const added = input.has('wide') ? await wideCells(server, items) : undefined;
    const rows = items.map((pod) => [
      shortId(pod.id, input.has('no-trunc')),
      formatAge(pod.createdAt),
      pod.state === PodSandboxState.SANDBOX_READY ? 'Ready' : 'NotReady',
      pod.metadata?.name ?? '',
      pod.metadata?.namespace ?? '',
      String(pod.metadata?.attempt ?? 0),
      pod.runtimeHandler,
      ...(added === undefined ? [] : (added.get(pod.id) ?? NONE)),
    ]);
    context.stdout.write(
      formatTable([...COLUMNS, ...(added === undefined ? [] : Object.keys(WIDE))], rows, tableWidth(context, input)),
    );
  }
}

/** The cells of the columns {@link WIDE} by the ids of pods, empty where nothing is known; none for a pod that is gone. */
async function wideCells(server: ServerClient, pods: readonly PodSandbox[]): Promise<Map<string, string[]>> {
  const cells = new Map<string, string[]>();
  await forEach(pods, AT_ONCE, async ({ id }) => {
    const request = PodSandboxStatusRequest.create({ podSandboxId: id, verbose: true });
    try {
      const { info } = await server.call(RuntimeServiceService.podSandboxStatus, request);
      const known = (parseInfo(info)['info'] ?? {}) as Record<string, unknown>;
      const text = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');
      cells.set(
        id,
        Object.values(WIDE).map((field) => text(known[field])),
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  });
  return cells;
}
