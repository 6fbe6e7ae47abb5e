import { NamespaceMode, PodSandbox, PodSandboxState, PodSandboxStatus } from '../../../api/gen/cri.ts';
import type { PodSandboxFilter } from '../../../api/gen/cri.ts';
import type { SandboxRecord } from '../../core/model/sandbox.ts';
import { matchesLabels } from './filter.ts';
import { askedNamespaces } from './request.ts';

/** The record in ListPodSandbox. */
export function toPodSandbox(record: SandboxRecord): PodSandbox {
  const { metadata, labels, annotations } = record.spec;
  return PodSandbox.create({
    id: record.id,
    metadata,
    state: stateOf(record),
    createdAt: record.createdAt,
    labels,
    annotations,
    runtimeHandler: record.handler,
  });
}

/** The record in PodSandboxStatus; the first address is the primary one. */
export function toPodSandboxStatus(record: SandboxRecord): PodSandboxStatus {
  const { metadata, labels, annotations } = record.spec;
  const [ip = '', ...more] = record.network?.ips ?? [];
  return PodSandboxStatus.create({
    id: record.id,
    metadata,
    state: stateOf(record),
    createdAt: record.createdAt,
    network: { ip, additionalIps: more.map((address) => ({ ip: address })) },
    linux: { namespaces: { options: askedNamespaces(record.request) ?? { pid: NamespaceMode.POD } } },
    labels,
    annotations,
    runtimeHandler: record.handler,
  });
}

/** Whether ListPodSandbox returns a record: all conditions must match; the id may be a prefix. */
export function matchesSandbox(record: SandboxRecord, filter: PodSandboxFilter | undefined): boolean {
  if (filter === undefined) return true;
  return (
    record.id.startsWith(filter.id) &&
    (filter.state === undefined || filter.state.state === stateOf(record)) &&
    matchesLabels(record.spec.labels, filter.labelSelector)
  );
}

function stateOf(record: SandboxRecord): PodSandboxState {
  return record.phase === 'ready' ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}
