import { ListPodSandboxRequest, PodSandboxState, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { CliContext, Input } from '../command.ts';
import { nameLines } from '../output/names.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatAge, shortId } from '../output/units.ts';
import type { ServerClient } from './server.ts';

/** Prints the pod sandboxes, newest first. */
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
    const rows = items.map((pod) => [
      shortId(pod.id, input.has('no-trunc')),
      formatAge(pod.createdAt),
      pod.state === PodSandboxState.SANDBOX_READY ? 'Ready' : 'NotReady',
      pod.metadata?.name ?? '',
      pod.metadata?.namespace ?? '',
      String(pod.metadata?.attempt ?? 0),
      pod.runtimeHandler,
    ]);
    context.stdout.write(
      formatTable(
        ['POD ID', 'AGE', 'STATE', 'NAME', 'NAMESPACE', 'ATTEMPT', 'HANDLER'],
        rows,
        tableWidth(context, input),
      ),
    );
  }
}
