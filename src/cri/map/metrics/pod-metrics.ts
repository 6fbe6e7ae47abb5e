import { PodSandboxMetrics } from '../../../../api/gen/cri.ts';
import type { MetricDescriptor } from '../../../../api/gen/cri.ts';
import type { ContainerMetricFigures, PodMetricFigures } from '../../../core/lifecycle/pods/pod-metrics.ts';
import type { ContainerRecord } from '../../../core/model/container.ts';
import { type MetricGroup, selectedGroups } from '../../../core/model/metric-groups.ts';
import type { InterfaceCounters, TrafficCounters } from '../../../core/model/resource-usage.ts';
import { ALWAYS, CONTAINER_FAMILIES } from './container-families.ts';
import { counters, toDescriptor, toMetrics } from './family.ts';
import type { Family } from './family.ts';

type Interfaces = readonly InterfaceCounters[];

/** The metrics of a pod, with the names of cAdvisor. */
const NETWORK: readonly Family<Interfaces>[] = (['receive', 'transmit'] as const).flatMap((direction) => {
  const family = (what: string, help: string, value: (traffic: TrafficCounters) => bigint) =>
    counters(`container_network_${direction}_${what}_total`, help, ['interface'], (interfaces: Interfaces) =>
      interfaces.map(({ name, received, sent }) => ({
        value: value(direction === 'receive' ? received : sent),
        labels: [name],
      })),
    );
  const verb = direction === 'receive' ? 'received' : 'sent';
  return [
    family('bytes', `Bytes ${verb}.`, ({ bytes }) => bytes),
    family('packets', `Packets ${verb}.`, ({ packets }) => packets),
    family('packets_dropped', `Packets dropped that were to be ${verb}.`, ({ dropped }) => dropped),
    family('errors', `Packets with errors that were to be ${verb}.`, ({ errors }) => errors),
  ];
});

/** The metrics of the selected groups (CRI ListMetricDescriptors, ListPodSandboxMetrics). */
export class PodMetrics {
  readonly #container: readonly Family<ContainerMetricFigures>[];
  readonly #network: readonly Family<Interfaces>[];

  constructor(list: readonly (MetricGroup | 'all')[]) {
    const groups = selectedGroups(list);
    this.#network = groups.has('network') ? NETWORK : [];
    this.#container = [
      ...ALWAYS,
      ...[...groups].flatMap((group) => (group === 'network' ? [] : CONTAINER_FAMILIES[group])),
    ];
  }

  descriptors(): MetricDescriptor[] {
    return [...this.#container.map(toDescriptor), ...this.#network.map(toDescriptor)];
  }

  /** The metrics of a pod; `imageOf` names the image of a container. */
  of({ record, usage, containers }: PodMetricFigures, imageOf: (record: ContainerRecord) => string): PodSandboxMetrics {
    const { namespace, name } = record.spec.metadata;
    const timestamp = usage?.resources?.timestamp ?? 0n;
    return PodSandboxMetrics.create({
      podSandboxId: record.id,
      metrics: toMetrics(this.#network, usage?.interfaces ?? [], [record.id, '', namespace, name, ''], timestamp),
      containerMetrics: containers.map((figures) => {
        const { id, spec } = figures.record;
        const base = [id, imageOf(figures.record), namespace, name, spec.metadata.name];
        return { containerId: id, metrics: toMetrics(this.#container, figures, base, figures.details.timestamp) };
      }),
    });
  }
}
