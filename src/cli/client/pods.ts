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

/** Prints the pod sandboxes, newest first; `--wide` adds what chose their handlers. */
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
    const isWide = input.has('wide');
    const chosenBy = isWide ? await handlerChoices(server, items) : new Map<string, string>();
    const rows = items.map((pod) => [
      shortId(pod.id, input.has('no-trunc')),
      formatAge(pod.createdAt),
      pod.state === PodSandboxState.SANDBOX_READY ? 'Ready' : 'NotReady',
      pod.metadata?.name ?? '',
      pod.metadata?.namespace ?? '',
      String(pod.metadata?.attempt ?? 0),
      pod.runtimeHandler,
      ...(isWide ? [chosenBy.get(pod.id) ?? ''] : []),
    ]);
    context.stdout.write(
      formatTable(
        ['POD ID', 'AGE', 'STATE', 'NAME', 'NAMESPACE', 'ATTEMPT', 'HANDLER', ...(isWide ? ['CHOSEN BY'] : [])],
        rows,
        tableWidth(context, input),
      ),
    );
  }
}

/** What chose the handlers of pods, by their ids; none for a pod that is gone, or that an earlier version created. */
async function handlerChoices(server: ServerClient, pods: readonly PodSandbox[]): Promise<Map<string, string>> {
  const choices = new Map<string, string>();
  await forEach(pods, AT_ONCE, async ({ id }) => {
    const request = PodSandboxStatusRequest.create({ podSandboxId: id, verbose: true });
    try {
      const { info } = await server.call(RuntimeServiceService.podSandboxStatus, request);
      const { handlerChosenBy } = (parseInfo(info)['info'] ?? {}) as { handlerChosenBy?: unknown };
      if (typeof handlerChosenBy === 'string') choices.set(id, handlerChosenBy);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  });
  return choices;
}
