import { rm, rmdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ContainerStatusRequest, ListContainersRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { isErrno } from '../../utils/errors.ts';
import type { Found } from '../client/resolve.ts';
import type { ServerClient } from '../client/server.ts';
import { LOG_FILE, LOG_DIRECTORY_PREFIX, RUN_LABEL } from './requests.ts';

/** The objects that `run --keep` or `run --detach` kept: one pod with one container, and its log. */
export interface LeftOver {
  pod: Found;
  logPath: string;
}

/** The run that made a container or pod, undefined when something else did. */
export async function leftByRun(server: ServerClient, { kind, id }: Found): Promise<LeftOver | undefined> {
  const filter = kind === 'container' ? { id } : { podSandboxId: id };
  const list = ListContainersRequest.create({ filter });
  const { containers } = await server.call(RuntimeServiceService.listContainers, list);
  const container = containers.find(({ labels }) => labels[RUN_LABEL] !== undefined);
  if (container === undefined) return undefined;
  const request = ContainerStatusRequest.create({ containerId: container.id });
  const { status } = await server.call(RuntimeServiceService.containerStatus, request);
  return { pod: { kind: 'pod', id: container.podSandboxId }, logPath: status?.logPath ?? '' };
}

/** Removes the log file and its directory, if `run` created them. */
export async function removeRunLog(logPath: string): Promise<void> {
  const directory = dirname(logPath);
  if (basename(logPath) !== LOG_FILE || !basename(directory).startsWith(LOG_DIRECTORY_PREFIX)) return;
  await rm(logPath, { force: true });
  try {
    await rmdir(directory);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTEMPTY')) throw error;
  }
}
