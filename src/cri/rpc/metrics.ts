import { PodSandboxMetrics } from '../../../api/gen/cri.ts';
import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import type { Handlers } from '../handlers.ts';
import { imageName } from '../map/image-name.ts';
import { PodMetrics } from '../map/metrics/pod-metrics.ts';
import { chunks } from './services.ts';
import type { Services } from './services.ts';

/** ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics. */
export function metricsCalls({ podMetrics, images, config }: Services): Handlers<typeof RuntimeServiceService> {
  const metrics = new PodMetrics(config.metrics.included_pod_metrics);
  const imageOf = ({ imageId, spec }: ContainerRecord) =>
    imageName(spec.image, images.status(imageId), config.images.default_registry);
  const list = async () => (await podMetrics.list()).map((pod) => metrics.of(pod, imageOf));
  return {
    listMetricDescriptors: () => Promise.resolve({ descriptors: metrics.descriptors() }),
    listPodSandboxMetrics: async () => ({ podMetrics: await list() }),
    streamPodSandboxMetrics: async function* () {
      for (const podSandboxMetrics of chunks(await list(), PodSandboxMetrics)) yield { podSandboxMetrics };
    },
  };
}
