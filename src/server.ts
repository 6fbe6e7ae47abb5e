import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Handler, HandlerParts } from './backends/handler.ts';
import { ConmonRunner } from './backends/conmon/conmon-runner.ts';
import { ScopedSandboxProvider } from './backends/systemd/scoped-sandbox-provider.ts';
import type { Serve } from './cli/command.ts';
import { versionInfo } from './cli/version-info.ts';
import { programs, remedyFor } from './core/config/programs.ts';
import type { Config } from './core/config/schema.ts';
import { ContainerService } from './core/lifecycle/containers/container-service.ts';
import { ContainerSessions } from './core/lifecycle/containers/container-sessions.ts';
import { ContainerStatsService } from './core/lifecycle/containers/container-stats.ts';
import { EventHub } from './core/lifecycle/events/event-hub.ts';
import { readHostFacts } from './host/facts.ts';
import { ImageService } from './core/lifecycle/images/image-service.ts';
import { PodService } from './core/lifecycle/pods/pod-service.ts';
import { PodStatsService } from './core/lifecycle/pods/pod-stats.ts';
import { HostFiles } from './host/platform/host-files.ts';
import { DiskReserve } from './core/lifecycle/records/disk-reserve.ts';
import { cgroupDriver } from './host/systemd.ts';
import { HostPodDirectories } from './host/platform/pod-directories.ts';
import { HostRootfsMounts } from './host/platform/rootfs-mounts.ts';
import { HostUserNamespaces } from './host/platform/user-namespaces.ts';
import { VolumeDirectories } from './host/platform/volume-directories.ts';
import { createLogger } from './core/logging/logger.ts';
import { serveMetrics } from './core/metrics/http-server.ts';
import { Metrics } from './core/metrics/metrics.ts';
import { rootfsProblem } from './core/lifecycle/rootfs-trial.ts';
import { unattainable } from './core/lifecycle/oci/rlimits.ts';
import { ROOT, STATE } from './core/state-layout.ts';
import { messageOf } from './utils/errors.ts';
import type { ImageRegistry } from './core/model/image.ts';
import type { Logger, RootLogger } from './core/model/logger.ts';
import { parseUlimit } from './core/model/rlimits.ts';
import { storedContainer, storedPod } from './cri/map/stored.ts';
import { CriServer } from './cri/server.ts';
import type { Services } from './cri/rpc/services.ts';
import { criServices } from './cri/services.ts';
import { readCertificate } from './cri/streaming/certificate.ts';
import { StreamingServer } from './cri/streaming/streaming-server.ts';
import { CdiRegistry } from './integrations/cdi/cdi-registry.ts';
import { KernelAppArmor } from './integrations/apparmor/kernel-apparmor.ts';
import { CniNetwork } from './integrations/cni/cni-network.ts';
import { ArchiveReader } from './integrations/oci/archive-reader.ts';
import { imageFiles } from './integrations/oci/files/image-files.ts';
import { RegistryClient } from './integrations/oci/registry-client.ts';
import { SignedRegistry } from './integrations/oci/signature/signed-registry.ts';
import { OverlayStore } from './integrations/overlayfs/overlay-store.ts';
import { succeedHelpers } from './host/processes/helpers.ts';
import { writeDiagnosticsOnSignal } from './host/diagnostics.ts';
import { HostReadiness } from './host/readiness.ts';
import type { NeededProgram } from './host/readiness.ts';
import { takeRoot } from './host/root-claim.ts';
import { systemClock } from './utils/time/system-clock.ts';
import { Undo } from './utils/async/undo.ts';

/** Maximum milliseconds to wait for commands of an earlier server; a CNI plugin may take two minutes. */
const HELPERS_LIMIT_MS = 120_000;

/**
 * Runs the server with the given RuntimeClass handlers until SIGTERM or SIGINT; containers stay. Resolves after an orderly
 * shutdown.
 */
export async function serve(
  handlers: readonly Handler[],
  { config, files, reload }: Parameters<Serve>[0],
): Promise<void> {
  const logger = createLogger(config.log);
  endOnUncaught(logger);
  logger.info('Server starting', { version: versionInfo().version, files, root: config.root, state: config.state });
  await claim(config, logger);

  const metrics = new Metrics();
  const streaming = await streamingServer(config, logger);
  writeDiagnosticsOnSignal(join(config.state, STATE.reports), logger);
  const readiness = new HostReadiness(neededPrograms(config));
  const hostProblem = () => readiness.problem();
  const services = { ...(await build(handlers, config, logger, metrics)), streaming, hostProblem };
  await recover(services);
  await tryRootfs(services, readiness);
  metrics.watchInventory(inventory(services));

  const shutdown = new AbortController();
  const server = new CriServer({
    path: config.grpc.listen.slice('unix://'.length),
    group: config.grpc.group,
    maxMessageBytes: config.grpc.max_message_bytes,
    services: criServices(services, metrics, shutdown.signal),
    logger,
  });
  const page = await listen({ streaming, server, metrics, address: config.metrics.listen, logger });
  reloadOnHangup(logger, reload);
  const importing = services.images.importFolder(shutdown.signal);
  const keeping = services.pods.keep(shutdown.signal);
  const settling = settle(services, logger);
  logger.info('Server listening', { socket: config.grpc.listen, metrics: config.metrics.listen });

  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  logger.info('Server shutting down; containers keep running', { signal });
  shutdown.abort(new Error('the server is shutting down'));
  page?.close();
  await Promise.all([server.stop(), streaming.stop(), importing, keeping]);
  // A stalled CNI plugin must not block the shutdown; the next start waits for it.
  if (!settling.isDone) process.exit(0);
}

/** The programs that pods of the default handler require. */
function neededPrograms(config: Config): NeededProgram[] {
  const handler = config.runtime.default_handler;
  return programs(config)
    .filter(({ optional = false, handlers = [handler] }) => !optional && handlers.includes(handler))
    .map((program) => ({ ...program, remedy: remedyFor(program) }));
}

/** Makes an empty root filesystem and removes it, to check that containers can have one. */
async function tryRootfs(
  { backends, config, logger }: Pick<Services, 'backends' | 'config' | 'logger'>,
  readiness: HostReadiness,
): Promise<void> {
  for (const backend of new Map(backends.map((each) => [each.rootfs, each])).values()) {
    const message = await rootfsProblem(backend, config.root);
    if (message === undefined) continue;
    logger.error('Container creation unavailable', { problem: message });
    readiness.report({ reason: 'RootfsUnavailable', message });
  }
}
/** Reconciles the pods and networks of an earlier server in the background. */
function settle({ pods }: Pick<Services, 'pods'>, logger: Logger): { readonly isDone: boolean } {
  const progress = { isDone: false };
  pods
    .settle()
    .then(
      () => {
        logger.info('Recovery succeeded');
      },
      (error: unknown) => {
        logger.error('Recovery failed', { error: messageOf(error) });
      },
    )
    .finally(() => (progress.isDone = true));
  return progress;
}

/** Starts every listener. When one fails, the others are closed, since they would keep the process running. */
async function listen(parts: {
  streaming: StreamingServer;
  server: CriServer;
  metrics: Metrics;
  address: string;
  logger: Logger;
}): Promise<{ close: () => unknown } | undefined> {
  const { streaming, server, metrics, address, logger } = parts;
  const undo = new Undo();
  try {
    await streaming.start();
    undo.add('the streaming server', () => streaming.stop());
    await server.start();
    undo.add('the CRI server', () => server.stop());
    return address === '' ? undefined : serveMetrics(address, metrics, logger);
  } catch (error) {
    await undo.rollback((what, failure) => {
      logger.error(`Closing ${what} failed`, { error: messageOf(failure) });
    });
    throw error;
  }
}

/**
 * Locks the directories for this process, and waits for commands that a killed server left running.
 * @throws CriError FAILED_PRECONDITION while another server uses the root.
 */
export async function claim({ root, state }: Config, logger: Logger): Promise<void> {
  await takeRoot(root);
  await mkdir(state, { recursive: true, mode: 0o711 });
  const left = await succeedHelpers(join(state, STATE.helpers), HELPERS_LIMIT_MS, () => {
    logger.info('Waiting for commands of an earlier server');
  });
  if (left.length > 0) logger.warn('Commands of an earlier server still running; continuing', { pids: left });
}

/** Wires every part to the ports that use it. */
export async function build(
  handlers: readonly Handler[],
  config: Config,
  logger: RootLogger,
  metrics: Metrics,
): Promise<Omit<Services, 'streaming' | 'hostProblem'>> {
  const clock = systemClock;
  const host = await readHostFacts();
  const driver = await cgroupDriver(config.runtime);
  const rlimits = config.runtime.default_ulimits.flatMap((text) => parseUlimit(text) ?? []);
  for (const problem of unattainable(rlimits, host.hardLimits)) {
    const remedy = 'raise the limit of the server, for example with Limit…= of its unit';
    logger.warn('runtime.default_ulimits exceeds the limits of the server', { problem, remedy });
  }
  const events = new EventHub({
    failed: (error) => {
      logger.error('Event listener failed', { error: messageOf(error) });
    },
    dropped: () => {
      metrics.eventsDropped.inc();
    },
  });
  events.subscribe(({ kind, containerId, sandboxId }) => {
    metrics.events.inc({ object: containerId === sandboxId ? 'pod' : 'container', kind });
  });
  const records = { root: config.root, state: config.state, reserve: new DiskReserve(config.root) };
  await records.reserve.fill();
  const rootfs = new OverlayStore({ root: join(config.root, ROOT.overlay), logger });
  const mounts = new HostRootfsMounts(join(config.state, STATE.rootfs));
  const images = new ImageService({
    records,
    files: imageFiles({
      content: join(config.root, ROOT.content),
      exports: join(config.root, ROOT.export),
      archives: config.images.archive_dir,
      archivesSeen: join(config.root, ROOT.archives),
    }),
    sources: [
      imageRegistry(config, logger),
      new ArchiveReader({
        temporary: join(config.root, ROOT.import),
        ...(config.images.platform !== '' && { platform: config.images.platform }),
      }),
    ],
    store: rootfs,
    mounts,
    clock,
    logger,
    defaultRegistry: config.images.default_registry,
    maxConcurrentDownloads: config.images.max_concurrent_downloads,
    pinned: config.images.pinned,
  });
  const runner = new ConmonRunner({
    stateDir: join(config.state, STATE.runner),
    ociRuntime: config.runtime.oci_runtime,
    conmon: config.runtime.conmon,
    execDrainMs: config.runtime.exec_drain_seconds * 1000,
    logger,
    clock,
  });
  const network = new CniNetwork({
    configDir: config.network.config_dir,
    pluginDirs: config.network.plugin_dirs,
    maxNetworks: config.network.max_conf_num,
    template: config.network.conf_template || undefined,
    logger,
  });
  const platform = {
    facts: host,
    apparmor: new KernelAppArmor({ logger }),
    devices: new CdiRegistry(config.runtime.cdi_spec_dirs),
    userNamespaces: new HostUserNamespaces({ store: rootfs, mounts, directories: [config.root, config.state] }),
    rootfs: mounts,
    files: new HostFiles(config.runtime.absent_mount_sources_to_reject),
    podDirectories: new HostPodDirectories(join(config.state, STATE.sandboxes)),
    volumes: new VolumeDirectories(join(config.root, ROOT.volumes), (error) => {
      logger.warn('Removing volumes of a container failed', { error: messageOf(error) });
    }),
  };
  const parts: HandlerParts = {
    state: config.state,
    host: { runner, network, rootfs, platform },
    inScopes: (sandboxes) => new ScopedSandboxProvider(sandboxes, driver === 'systemd'),
    logger,
  };
  const backends = await Promise.all(handlers.map(({ name, make }) => make(config.handlers[name], parts)));
  const pods = new PodService({
    records,
    backends,
    defaultHandler: config.runtime.default_handler,
    stored: storedPod({ cgroupDriver: driver, cgroupParent: config.runtime.cgroup_parent }),
    clock,
    logger,
    events,
  });
  const containers = new ContainerService({
    root: config.root,
    records,
    pods,
    images,
    pidsLimit: config.runtime.pids_limit,
    rlimits,
    stored: storedContainer,
    clock,
    logger,
    events,
  });
  const version = versionInfo().version;
  const sessions = new ContainerSessions(pods, containers);
  const stats = new ContainerStatsService(pods, containers, logger);
  const podStats = new PodStatsService(pods, stats, logger);
  return {
    pods,
    containers,
    sessions,
    stats,
    podStats,
    images,
    backends,
    events,
    config,
    cgroupDriver: driver,
    clock,
    logger,
    version,
  };
}

async function streamingServer({ streaming }: Config, logger: Logger): Promise<StreamingServer> {
  const { address, port, idle_timeout_seconds, tls_certificate, tls_key } = streaming;
  const tls = tls_certificate === '' ? undefined : await readCertificate(tls_certificate, tls_key);
  return new StreamingServer({ address, port, idleTimeoutMs: idle_timeout_seconds * 1000, tls, logger });
}

function imageRegistry({ root, images }: Config, logger: Logger): ImageRegistry {
  const shared = {
    insecureRegistries: images.insecure_registries,
    authFiles: images.auth_files,
    ...(images.platform !== '' && { platform: images.platform }),
    logger,
  };
  const registry = new RegistryClient({
    ...shared,
    mirrors: images.mirrors,
    certsDirs: images.certs_dirs,
    registriesConf: images.registries_conf,
    stallMs: images.stall_seconds * 1000,
  });
  return new SignedRegistry({
    ...shared,
    registry,
    policyFile: images.signature_policy,
    temporary: join(root, ROOT.signed),
  });
}

/** Reconciles the records with what runs; nothing is served before. */
export async function recover({
  pods,
  containers,
  images,
}: Pick<Services, 'pods' | 'containers' | 'images'>): Promise<void> {
  await pods.load();
  await containers.load();
  await images.load();
  await containers.recover();
  await pods.recover();
}

function inventory({ pods, containers, images }: Services) {
  const count = (states: string[], of: string[]) =>
    Object.fromEntries(states.map((state) => [state, of.filter((one) => one === state).length]));
  return {
    podsByState: () =>
      count(
        ['ready', 'stopped'],
        pods.list().map(({ phase }) => phase),
      ),
    containersByState: () => {
      const phases = containers.list().map(({ phase }) => (phase === 'starting' ? 'created' : phase));
      return count(['created', 'running', 'exited'], phases);
    },
    images: () => images.list().length,
  };
}

function reloadOnHangup(logger: RootLogger, reload: () => Promise<Config>): void {
  process.on('SIGHUP', () => {
    reload().then(
      ({ log }) => {
        logger.setLevel(log.level);
        logger.info('Configuration reloaded; log level applied', { level: log.level });
      },
      (error: unknown) => {
        logger.error('Configuration reload failed; previous configuration stays in use', { error: messageOf(error) });
      },
    );
  });
}

/** An unexpected error leaves unknown state: the process exits, the unit restarts it, and recovery reconciles the state. */
function endOnUncaught(logger: Logger): void {
  const end = (error: unknown) => {
    logger.error('Server exiting after an unexpected error', {
      error: error instanceof Error ? error.stack : String(error),
    });
    process.exitCode = 70;
    setImmediate(() => process.exit());
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}
