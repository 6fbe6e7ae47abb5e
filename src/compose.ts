import { join } from 'node:path';
import type { Handler } from './backends/handler.ts';
import { ConmonRunner } from './backends/conmon/conmon-runner.ts';
import { mountExits } from './backends/conmon/exits/exit-space.ts';
import { ScopedSandboxProvider } from './backends/systemd/scoped-sandbox-provider.ts';
import { versionInfo } from './cli/version-info.ts';
import { servedHandlers } from './core/config/handlers.ts';
import type { Config } from './core/config/schema.ts';
import { ContainerChanges } from './core/lifecycle/containers/container-changes.ts';
import { ContainerService } from './core/lifecycle/containers/container-service.ts';
import { ContainerSessions } from './core/lifecycle/containers/container-sessions.ts';
import { ContainerSnapshots } from './core/lifecycle/containers/container-snapshots.ts';
import { ContainerStatsService } from './core/lifecycle/containers/container-stats.ts';
import { EventHub } from './core/lifecycle/events/event-hub.ts';
import { readHostFacts } from './host/facts.ts';
import { ImageCommits } from './core/lifecycle/images/image-commits.ts';
import { WatchedImports } from './core/lifecycle/images/watched-imports.ts';
import { ImageTransfers } from './core/lifecycle/images/image-transfers.ts';
import { fullName } from './core/lifecycle/images/reference.ts';
import { ImageService } from './core/lifecycle/images/image-service.ts';
import { PodMetricsService } from './core/lifecycle/pods/pod-metrics.ts';
import { PodService } from './core/lifecycle/pods/pod-service.ts';
import { PodStatsService } from './core/lifecycle/pods/pod-stats.ts';
import { HostFiles } from './host/platform/host-files.ts';
import { DiskReserve } from './core/lifecycle/records/disk-reserve.ts';
import { cgroupDriver } from './host/systemd.ts';
import { HostPodDirectories } from './host/platform/pod-directories.ts';
import { HostRootfsMounts } from './host/platform/rootfs-mounts.ts';
import { HostUserNamespaces } from './host/platform/user-namespaces.ts';
import { VolumeDirectories } from './host/platform/volume-directories.ts';
import type { Metrics } from './core/metrics/metrics.ts';
import { selectedGroups } from './core/model/metric-groups.ts';
import type { Platform } from './core/model/platform.ts';
import { NO_PLUGINS } from './core/model/plugins.ts';
import type { RootfsStore } from './core/model/rootfs.ts';
import { NO_TRACING, type Tracing } from './core/model/tracing.ts';
import { unattainable } from './core/lifecycle/oci/rlimits.ts';
import { RootfsStores } from './core/lifecycle/rootfs-stores.ts';
import { ROOT, STATE } from './core/state-layout.ts';
import { messageOf } from './utils/errors.ts';
import type { ImageRegistry } from './core/model/image.ts';
import type { Logger, RootLogger } from './core/model/logger.ts';
import { parseUlimit } from './core/model/rlimits.ts';
import { storedContainer, storedPod } from './cri/map/stored.ts';
import type { Services } from './cri/rpc/services.ts';
import { CdiRegistry } from './integrations/cdi/cdi-registry.ts';
import type { NriPlugins } from './integrations/nri/nri-plugins.ts';
import { KernelAppArmor } from './integrations/apparmor/kernel-apparmor.ts';
import { CniNetwork } from './integrations/cni/cni-network.ts';
import { BfcImageSource, type BfcImageSourceOptions } from './integrations/bfc/images/bfc-image-source.ts';
import { WatchedBfcDirectory } from './integrations/bfc/images/watched-directory.ts';
import { readEitherLayout } from './integrations/oci/archive/layout.ts';
import { parsePlatform } from './integrations/oci/platform.ts';
import { ArchiveReader } from './integrations/oci/archive-reader.ts';
import { imageFiles } from './integrations/oci/files/image-files.ts';
import { RegistryClient } from './integrations/oci/registry-client.ts';
import { SignedRegistry } from './integrations/oci/signature/signed-registry.ts';
import { newFiles } from './host/new-file.ts';
import { makeDirectories } from './host/paths.ts';
import { separateCommands, succeedHelpers } from './host/processes/helpers.ts';
import { takeRoot } from './host/root-claim.ts';
import { countExit } from './inventory.ts';
import { Measures } from './measure.ts';
import { openProxmox } from './proxmox-node.ts';
import { openHostStores } from './rootfs-stores.ts';
import { openNri } from './nri-node.ts';
import { KeptJson } from './utils/fs/kept-json.ts';
import { systemClock } from './utils/time/system-clock.ts';

/** Maximum milliseconds to wait for commands of an earlier server; a CNI plugin's own limit is two minutes. */
const HELPERS_LIMIT_MS = 120_000;

/**
 * Locks the directories for this process, and waits for commands that a killed server left running.
 * @throws CriError FAILED_PRECONDITION while another server uses the root.
 */
export async function claim({ root, state }: Config, logger: Logger): Promise<void> {
  await takeRoot(root);
  await makeDirectories(state, 0o711);
  const left = await succeedHelpers(join(state, STATE.helpers), HELPERS_LIMIT_MS, () => {
    logger.info('Waiting for commands of an earlier server');
  });
  if (left.length > 0) logger.warn('Commands of an earlier server still running; continuing', { pids: left });
}

/** Wires every part to the ports that use it. */
export async function build(
  all: readonly Handler[],
  config: Config,
  logger: RootLogger,
  metrics: Metrics,
  tracing: Tracing = NO_TRACING,
): Promise<
  Omit<Services, 'streaming' | 'hostProblem'> & { stores: RootfsStores; imports?: WatchedImports; nri?: NriPlugins }
> {
  const clock = systemClock;
  const host = await readHostFacts();
  const served = servedHandlers(config);
  const handlers = all.filter(({ name }) => served.includes(name));
  const measures = new Measures(metrics, tracing);
  const proxmox = openProxmox(config, metrics.proxmox);
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
    recovered: (object, outcome) => {
      metrics.recovered.inc({ object, outcome });
    },
  });
  events.subscribe(({ kind, containerId, sandboxId }) => {
    metrics.events.inc({ object: containerId === sandboxId ? 'pod' : 'container', kind });
  });
  const records = { root: config.root, state: config.state, reserve: new DiskReserve(config.root) };
  await records.reserve.fill();
  const names = handlers.map(({ name }) => name);
  const hostStores = await openHostStores(config, names, logger, (store) => measures.store(store));
  const mounts = new HostRootfsMounts(join(config.state, STATE.rootfs));
  const runnerState = join(config.state, STATE.runner);
  await mountExits(runnerState).catch((error: unknown) => {
    logger.warn('Exit codes are lost while the state directory is full', { error: messageOf(error) });
  });
  const runner = new ConmonRunner({
    stateDir: runnerState,
    ociRuntime: config.runtime.oci_runtime,
    conmon: config.runtime.conmon,
    execDrainMs: config.runtime.exec_drain_seconds * 1000,
    onMonitorLost: () => {
      metrics.monitorsLost.inc();
    },
    logger,
    clock,
  });
  const network = new CniNetwork({
    configDir: config.network.config_dir,
    pluginDirs: config.network.plugin_dirs,
    maxNetworks: config.network.max_conf_num,
    template: config.network.conf_template || undefined,
    commands: await separateCommands(join(config.state, STATE.networkCommands), HELPERS_LIMIT_MS, (pids) => {
      logger.warn('CNI plugins of an earlier server killed after two minutes', { pids });
    }),
    around: measures.plugin,
    pool: {
      size: config.network.prepared,
      records: join(config.root, ROOT.networks),
      pins: join(config.state, STATE.networks),
    },
    logger,
  });
  const shared: Omit<Platform, 'userNamespaces'> = {
    facts: host,
    apparmor: new KernelAppArmor({ logger }),
    devices: new CdiRegistry(config.runtime.cdi_spec_dirs),
    rootfs: mounts,
    files: new HostFiles(),
    podDirectories: new HostPodDirectories(join(config.state, STATE.sandboxes)),
    volumes: new VolumeDirectories(join(config.root, ROOT.volumes), (error) => {
      logger.warn('Removing volumes of a container failed', { error: messageOf(error) });
    }),
    volumeMounts: new HostRootfsMounts(join(config.state, STATE.volumes)),
  };
  const platforms = new Map<RootfsStore, Platform>();
  const platformOf = (store: RootfsStore): Platform => {
    const known = platforms.get(store);
    if (known !== undefined) return known;
    const trial = `ids-${String(platforms.size)}`;
    const directories = [config.root, config.state];
    const made = { ...shared, userNamespaces: new HostUserNamespaces({ store, mounts, directories, trial }) };
    platforms.set(store, made);
    return made;
  };
  const backends = await Promise.all(
    handlers.map(async ({ name, stateDirectory, make }) => {
      const { rootfs, limits } = hostStores.of(name);
      const backend = await make(config.handlers[name], {
        directory: join(config.state, stateDirectory),
        programs: join(config.root, ROOT.programs),
        host: { runner, network, rootfs, limits, platform: platformOf(rootfs) },
        inScopes: (sandboxes) => new ScopedSandboxProvider(sandboxes, driver === 'systemd'),
        proxmox: () => proxmox,
        logger,
      });
      return measures.backend(backend);
    }),
  );
  const ofDefault = backends.filter((_, index) => names[index] === config.runtime.default_handler);
  const used = [...ofDefault, ...backends].map(({ rootfs }) => rootfs);
  const stores = new RootfsStores({ used, left: hostStores.left, logger });
  const files = imageFiles({
    content: join(config.root, ROOT.content),
    exports: join(config.root, ROOT.export),
    archives: config.images.archive_dir,
    archivesSeen: join(config.root, ROOT.archives),
  });
  const images = measures.images(
    new ImageService({
      records,
      files: { ...files, blobs: metrics.pulls.observed(files.blobs) },
      sources: [
        bfcImages(config, proxmox.storageDirectory),
        imageRegistry(config, logger),
        new ArchiveReader({
          temporary: join(config.root, ROOT.import),
          ...(config.images.platform !== '' && { platform: config.images.platform }),
        }),
      ],
      stores,
      mounts,
      clock,
      logger,
      defaultRegistry: config.images.default_registry,
      maxConcurrentDownloads: config.images.max_concurrent_downloads,
      pinned: config.images.pinned,
    }),
  );
  const imports = watchedImports(config, images, logger);
  const nri = await openNri(config, runner, logger, () => {
    metrics.pluginsLost.inc();
  });
  const plugins = nri === undefined ? NO_PLUGINS : measures.plugins(nri);
  const pods = new PodService({
    records,
    backends,
    defaultHandler: config.runtime.default_handler,
    stored: storedPod({ cgroupDriver: driver, cgroupParent: config.runtime.cgroup_parent }),
    clock,
    logger,
    events,
    plugins,
  });
  const containers = new ContainerService({
    root: config.root,
    records,
    pods,
    plugins,
    stores,
    images,
    pidsLimit: config.runtime.pids_limit,
    absentMountSourcesToReject: config.runtime.absent_mount_sources_to_reject,
    rlimits,
    stored: storedContainer,
    clock,
    logger,
    events,
  });
  events.subscribe(({ kind, containerId }) => {
    if (kind === 'stopped') countExit(metrics, { pods, containers }, containerId);
  });
  const version = versionInfo().version;
  const sessions = new ContainerSessions(pods, containers);
  const changes = new ContainerChanges(pods, stores, containers);
  const { checkpoint_keep_count: keepCount, checkpoint_keep_days: keepDays } = config.rootfs;
  const snapshots = new ContainerSnapshots({
    containers,
    pods,
    stores,
    retention: { keepCount, keepDays },
    clock,
    logger,
  });
  const transfers = new ImageTransfers({ pods, containers, images, stores, files: newFiles, clock });
  const commits = new ImageCommits({ pods, containers, changes, images, packer: files.packer, clock });
  const stats = new ContainerStatsService({ pods, containers, clock, logger });
  const podStats = new PodStatsService({ pods, containers: stats, clock, logger });
  const podMetrics = new PodMetricsService({
    included: selectedGroups(config.metrics.included_pod_metrics),
    ...{ pods, containers, podStats, stats, events, clock, logger },
  });
  return {
    pods,
    containers,
    sessions,
    changes,
    snapshots,
    commits,
    transfers,
    stats,
    podStats,
    podMetrics,
    images,
    ...(imports !== undefined && { imports }),
    stores,
    backends,
    events,
    config,
    cgroupDriver: driver,
    clock,
    logger,
    version,
    ...(nri !== undefined && { nri }),
  };
}

/** Reconciles the records with what runs; nothing is served before. */
export async function recover({
  pods,
  containers,
  images,
  events,
}: Pick<Services, 'pods' | 'containers' | 'images' | 'events'>): Promise<void> {
  await pods.load();
  await containers.load();
  await images.load();
  const alive = containers.list().filter(({ phase }) => phase !== 'exited');
  await containers.recover();
  const phases = new Map(containers.list().map(({ id, phase }) => [id, phase]));
  for (const { id } of alive) events.recovered('container', phases.get(id) === 'exited' ? 'ended' : 'adopted');
  await pods.recover();
}

function bfcImages(
  { bfc, images }: Config,
  storageDirectory: BfcImageSourceOptions['storageDirectory'],
): BfcImageSource {
  const platform = parsePlatform(images.platform);
  return new BfcImageSource({
    directory: bfc.directory,
    secrets: { keys: bfc.key_files, passwords: bfc.password_files },
    readLayout: (files) => readEitherLayout(files, platform),
    fullName: (name) => fullName(name, images.default_registry),
    storageDirectory,
  });
}

/** What imports the files of `bfc.directory`; undefined where nothing does. */
function watchedImports({ root, bfc }: Config, images: ImageService, logger: Logger): WatchedImports | undefined {
  if (bfc.directory === '' || !bfc.import) return undefined;
  return new WatchedImports({
    directory: new WatchedBfcDirectory({
      path: bfc.directory,
      imported: new KeptJson(join(root, ROOT.bfcFiles)),
    }),
    import: (path, signal) => images.import(path, { digests: true, signal }),
    isLost: (id) => images.lost.has(id),
    logger,
  });
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
    minBytesPerSecond: images.min_bytes_per_second,
  });
  return new SignedRegistry({
    ...shared,
    registry,
    policyFile: images.signature_policy,
    temporary: join(root, ROOT.signed),
  });
}
