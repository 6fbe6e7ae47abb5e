import { rm, rmdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ContainerStatusRequest, ListContainersRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { isErrno } from '../../utils/errors.ts';
import type { Found } from '../client/resolve.ts';
import type { ServerClient } from '../client/server.ts';
import { LOG_FILE, LOG_FOLDER_PREFIX, RUN_LABEL } from './requests.ts';

/** What `run --keep` or `run --detach` left behind: one pod with one container, and its log. */
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

/** Removes the log file and its folder, if they are where `run` puts them. */
export async function removeRunLog(logPath: string): Promise<void> {
  const folder = dirname(logPath);
  if (basename(logPath) !== LOG_FILE || !basename(folder).startsWith(LOG_FOLDER_PREFIX)) return;
  await rm(logPath, { force: true });
  try {
    await rmdir(folder);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTEMPTY')) throw error;
  }
}
