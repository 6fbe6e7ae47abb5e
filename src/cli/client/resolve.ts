import {
  type Container,
  ContainerState,
  ListContainersRequest,
  ListPodSandboxRequest,
  type PodSandbox,
  PodSandboxState,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { invalidArgument, notFound } from '../../core/model/errors.ts';
import type { ServerClient } from './server.ts';

/** A container or pod that an argument names. */
export type Found = { kind: 'container'; id: string } | { kind: 'pod'; id: string };

interface Candidate {
  found: Found;
  name: string;
  /** Running or ready; preferred among several with the same name. */
  alive: boolean;
}

/**
 * Finds a container or pod by its id, a prefix of it, or its name, among `kinds`. Among several with the same name, a
 * container is preferred to a pod, and a running one to a stopped one.
 * @throws CriError NOT_FOUND, or INVALID_ARGUMENT when it is ambiguous.
 */
export async function resolve(server: ServerClient, word: string, kinds: readonly Found['kind'][]): Promise<Found> {
  const candidates: Candidate[] = [];
  if (kinds.includes('container')) {
    const { containers } = await server.call(RuntimeServiceService.listContainers, ListContainersRequest.create());
    candidates.push(...containers.map(containerCandidate));
  }
  if (kinds.includes('pod')) {
    const { items } = await server.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create());
    candidates.push(...items.map(podCandidate));
  }
  return choose(word, candidates, kinds.join(' or '));
}

function choose(word: string, candidates: readonly Candidate[], what: string): Found {
  const whole = candidates.find(({ found }) => found.id === word);
  if (whole !== undefined) return whole.found;
  const byId = candidates.filter(({ found }) => word.length > 1 && found.id.startsWith(word));
  const matches = byId.length > 0 ? byId : mostMeant(candidates.filter(({ name }) => name === word));
  const [first, ...others] = matches;
  if (first === undefined) throw notFound(what, word);
  if (others.length === 0) return first.found;
  const ids = matches.map(({ found }) => `${found.kind} ${found.id.slice(0, 13)}`).join(', ');
  throw invalidArgument(JSON.stringify(word), `is ambiguous: ${ids}; use a longer id`);
}

/** Containers before pods, running ones before stopped ones. */
function mostMeant(named: readonly Candidate[]): readonly Candidate[] {
  const containers = named.filter(({ found }) => found.kind === 'container');
  const meant = containers.length > 0 ? containers : named;
  const alive = meant.filter((candidate) => candidate.alive);
  return alive.length > 0 ? alive : meant;
}

function containerCandidate({ id, metadata, state }: Container): Candidate {
  const alive = state === ContainerState.CONTAINER_RUNNING;
  return { found: { kind: 'container', id }, name: metadata?.name ?? '', alive };
}

function podCandidate({ id, metadata, state }: PodSandbox): Candidate {
  const alive = state === PodSandboxState.SANDBOX_READY;
  return { found: { kind: 'pod', id }, name: metadata?.name ?? '', alive };
}
