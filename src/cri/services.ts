import { ImageServiceService, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ImageStoreService } from '../../api/gen/proxmoxlxcri/v1/images.ts';
import { TransferService } from '../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { RootfsSnapshotsService } from '../../api/gen/proxmoxlxcri/v1/snapshots.ts';
import type { Metrics } from '../core/metrics/metrics.ts';
import type { Tracing } from '../core/model/tracing.ts';
import { callDescriber } from './call-fields.ts';
import { implement } from './handlers.ts';
import { containerCalls } from './rpc/containers.ts';
import { eventCalls } from './rpc/events.ts';
import { execCalls } from './rpc/exec.ts';
import { imageStoreCalls } from './rpc/image-store.ts';
import { imageCalls } from './rpc/images.ts';
import { metricsCalls } from './rpc/metrics.ts';
import { runtimeCalls } from './rpc/runtime.ts';
import { rootfsSnapshotCalls } from './rpc/rootfs-snapshots.ts';
import { sandboxCalls } from './rpc/sandboxes.ts';
import type { Services } from './rpc/services.ts';
import { statsCalls } from './rpc/stats.ts';
import { transferCalls } from './rpc/transfer.ts';

/** The gRPC services of this server, every RPC instrumented; `shutdown` ends endless streams. */
export function criServices(services: Services, metrics: Metrics, shutdown: AbortSignal, tracing?: Tracing) {
  const describer = callDescriber(services.pods, services.containers);
  const handlers = new Set(services.backends.map(({ sandboxes }) => sandboxes.handler));
  const parts = { logger: services.logger, metrics, shutdown, describer, handlers, tracing };
  const runtime = {
    ...runtimeCalls(services),
    ...sandboxCalls(services),
    ...containerCalls(services),
    ...execCalls(services),
    ...statsCalls(services),
    ...metricsCalls(services),
    ...eventCalls(services),
  };
  return [
    implement(RuntimeServiceService, runtime, parts),
    implement(ImageServiceService, imageCalls(services), parts),
    implement(ImageStoreService, imageStoreCalls(services), parts),
    implement(TransferService, transferCalls(services), parts),
    implement(RootfsSnapshotsService, rootfsSnapshotCalls(services), parts),
  ];
}
