import {
  ContainerState,
  ListContainersRequest,
  ListPodSandboxRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import type { CliContext, Input } from '../command.ts';
import { nameLines } from '../output/names.ts';
import { formatJson } from '../output/json.ts';
import { tableWidth } from '../output/table-width.ts';
import { formatTable } from '../output/table.ts';
import { formatAge, shortId } from '../output/units.ts';
import type { ServerClient } from './server.ts';

const STATES: Record<number, string> = {
  [ContainerState.CONTAINER_CREATED]: 'Created',
  [ContainerState.CONTAINER_RUNNING]: 'Running',
  [ContainerState.CONTAINER_EXITED]: 'Exited',
  [ContainerState.CONTAINER_UNKNOWN]: 'Unknown',
};

/** Prints the containers, newest first. */
export async function listContainers(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const running = { state: { state: ContainerState.CONTAINER_RUNNING } };
  const request = ListContainersRequest.create({ filter: input.has('all') ? undefined : running });
  const { containers } = await server.call(RuntimeServiceService.listContainers, request);
  containers.sort((a, b) => Number(b.createdAt - a.createdAt));
  if (input.has('quiet')) {
    context.stdout.write(containers.map(({ id }) => `${id}\n`).join(''));
  } else if (input.has('names')) {
    context.stdout.write(nameLines(containers));
  } else if (input.text('output') === 'json') {
    context.stdout.write(formatJson({ containers }));
  } else {
    const { items } = await server.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create());
    const podNames = new Map(items.map(({ id, metadata }) => [id, metadata?.name ?? '']));
    const full = input.has('no-trunc');
    const rows = containers.map((container) => [
      shortId(container.id, full),
      container.image?.userSpecifiedImage || container.image?.image || container.imageId,
      formatAge(container.createdAt),
      STATES[container.state] ?? String(container.state),
      container.metadata?.name ?? '',
      String(container.metadata?.attempt ?? 0),
      shortId(container.podSandboxId, full),
      podNames.get(container.podSandboxId) ?? '',
    ]);
    const headings = ['CONTAINER', 'IMAGE', 'AGE', 'STATE', 'NAME', 'ATTEMPT', 'POD ID', 'POD'];
    context.stdout.write(formatTable(headings, rows, tableWidth(context, input)));
  }
}
