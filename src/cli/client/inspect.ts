import {
  ContainerStatusRequest,
  ImageServiceService,
  ImageStatusRequest,
  PodSandboxStatusRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { CriError, StatusCode, isNotFound } from '../../core/model/errors.ts';
import type { CliContext } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { readable } from '../output/readable.ts';
import { type Found, resolve } from './resolve.ts';
import type { ServerClient } from './server.ts';

/** Prints the verbose status of the named container, pod or image, looked up in this order. */
export async function inspectObject(context: CliContext, server: ServerClient, word: string): Promise<void> {
  const found = await find(server, word);
  const response = found === undefined ? await imageStatus(server, word) : await objectStatus(server, found);
  const message = { ...response, info: parseInfo(response.info) };
  context.stdout.write(formatJson(readable(message, found?.kind ?? 'image')));
}

async function find(server: ServerClient, word: string): Promise<Found | undefined> {
  try {
    return await resolve(server, word, ['container', 'pod']);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function objectStatus(server: ServerClient, { kind, id }: Found): Promise<{ info: Record<string, string> }> {
  if (kind === 'container') {
    const request = ContainerStatusRequest.create({ containerId: id, verbose: true });
    return server.call(RuntimeServiceService.containerStatus, request);
  }
  const request = PodSandboxStatusRequest.create({ podSandboxId: id, verbose: true });
  return server.call(RuntimeServiceService.podSandboxStatus, request);
}

async function imageStatus(server: ServerClient, image: string): Promise<{ info: Record<string, string> }> {
  const request = ImageStatusRequest.create({ image: { image }, verbose: true });
  const response = await server.call(ImageServiceService.imageStatus, request);
  if (response.image !== undefined) return response;
  throw new CriError(StatusCode.NOT_FOUND, `container, pod or image ${JSON.stringify(image)} not found`);
}

/** CRI's verbose information is a map of strings, some of which are JSON. */
export function parseInfo(info: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(info).map(([key, text]) => {
      try {
        return [key, JSON.parse(text) as unknown];
      } catch {
        return [key, text];
      }
    }),
  );
}
