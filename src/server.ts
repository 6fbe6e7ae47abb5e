import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Handler } from './backends/handler.ts';
import { LoggedError, type Serve } from './cli/command.ts';
import { errorText } from './cli/error-text.ts';
import { versionInfo } from './cli/version-info.ts';
import { programs, remedyFor } from './core/config/programs.ts';
import type { Config } from './core/config/schema.ts';
import { valueAt } from './core/config/tables.ts';
import { createLogger } from './core/logging/logger.ts';
import type { ReadinessChecks } from './core/metrics/health.ts';
import { type MetricsPage, serveMetrics } from './core/metrics/http-server.ts';
import { Metrics } from './core/metrics/metrics.ts';
import { rootfsProblem } from './core/lifecycle/rootfs-trial.ts';
import { STATE } from './core/state-layout.ts';
import { messageOf } from './utils/errors.ts';
import type { Logger, RootLogger } from './core/model/logger.ts';
import { CriServer } from './cri/server.ts';
import type { Services } from './cri/rpc/services.ts';
import { criServices } from './cri/services.ts';
import { readCertificate } from './cri/streaming/certificate.ts';
import { StreamingServer } from './cri/streaming/streaming-server.ts';
import { writeDiagnosticsOnSignal } from './host/diagnostics.ts';
import { isProxmoxNode } from './host/processes/programs.ts';
import { HostReadiness } from './host/readiness.ts';
import { ServiceManager } from './host/service-manager.ts';
import type { NeededProgram } from './host/readiness.ts';
import { openTracing } from './tracing-node.ts';
import { Rollback } from './utils/async/rollback.ts';
import { build, claim, recover } from './compose.ts';
import { inventory, networkFigures, spaceOf } from './inventory.ts';
import { startNri } from './nri-node.ts';

/**
 * Runs the server with the given RuntimeClass handlers until SIGTERM or SIGINT; containers stay. Resolves after an orderly
 * shutdown. @throws LoggedError
 */
export async function serve(handlers: readonly Handler[], options: Parameters<Serve>[0]): Promise<void> {
  const logger = createLogger(options.config.log);
  endOnUncaught(logger);
  try {
    await run(handlers, options, logger);
  } catch (error) {
    logger.error('Server failed', { error: errorText(error) });
    throw new LoggedError(error);
  }
}

async function run(
  handlers: readonly Handler[],
  { config, files, reload }: Parameters<Serve>[0],
  logger: RootLogger,
): Promise<void> {
  const manager = new ServiceManager(logger);
  logger.info('Server starting', { version: versionInfo().version, files, root: config.root, state: config.state });
  await claim(config, logger);

  const metrics = new Metrics();
  metrics.describeBuild(versionInfo());
  const progress = { isServing: false };
  const checks = {
    server: () => (progress.isServing ? undefined : 'the CRI socket is not served'),
    runtime: async () => (await readiness.problem())?.message,
  };
  const readiness = new HostReadiness(neededPrograms(config, await isProxmoxNode()));
  // Before anything that takes long: a probe and Prometheus see the start as well.
  const page = metricsPage(config.metrics, metrics, checks, logger);
  const streaming = await streamingServer(config, logger);
  writeDiagnosticsOnSignal(join(config.state, STATE.reports), logger);
  const hostProblem = () => readiness.problem();
  const tracing = await openTracing(config, logger);
  const services = { ...(await build(handlers, config, logger, metrics, tracing)), streaming, hostProblem };
  await recover(services);
  await tryRootfs(services, readiness);
  // Before the first request: pods that are run from then on are told to the plugins of this node.
  const plugins = services.nri && (await startNri(services.nri, services));
  metrics.watchInventory(inventory(services, () => services.nri?.count ?? 0));
  metrics.watchSpace(() => spaceOf(services.stores));

  const shutdown = new AbortController();
  const server = new CriServer({
    path: config.grpc.listen.slice('unix://'.length),
    group: config.grpc.group,
    maxMessageBytes: config.grpc.max_message_bytes,
    services: criServices(services, metrics, shutdown.signal, tracing),
    logger,
  });
  // Before the socket is there: who sees it may send a signal.
  reloadOnHangup(logger, config, reload);
  const ended = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  await listen({ plugins, streaming, server, logger });
  progress.isServing = true;
  const importing = Promise.all([
    services.images.importArchives(shutdown.signal),
    services.imports?.keep(shutdown.signal),
  ]);
  const keeping = services.pods.keep(shutdown.signal);
  services.containers.keep(shutdown.signal);
  const settling = settle(services, logger);
  logger.info('Server listening', { socket: config.grpc.listen, metrics: config.metrics.listen });
  await manager.ready(() => summary(services));

  const signal = await ended;
  logger.info('Server shutting down; containers keep running', { signal });
  progress.isServing = false;
  const stopping = manager.stopping();
  shutdown.abort(new Error('the server is shutting down'));
  await Promise.all([server.stop(), streaming.stop(), plugins?.stop(), importing, keeping, stopping]);
  await tracing?.stop();
  page?.close();
  // A stalled CNI plugin must not block the shutdown; the next start waits for it.
  const { creating, releasing } = networkFigures(services.backends);
  if (!settling.isDone || creating + releasing > 0) process.exit(0);
}

/** The programs that pods of the default handler require. */
function neededPrograms(config: Config, onProxmox: boolean): NeededProgram[] {
  const handler = config.runtime.default_handler;
  return programs(config, onProxmox)
    .filter(({ optional = false, handlers = [handler] }) => !optional && handlers.includes(handler))
    .map((program) => ({ ...program, remedy: remedyFor(program) }));
}

/** Creates an empty root filesystem and removes it, to check that containers can have one. */
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
  plugins: { stop: () => Promise<void> } | undefined;
  streaming: StreamingServer;
  server: CriServer;
  logger: Logger;
}): Promise<void> {
  const { plugins, streaming, server, logger } = parts;
  const rollback = new Rollback();
  if (plugins !== undefined) rollback.add('the connections of plugins', () => plugins.stop());
  try {
    await streaming.start();
    rollback.add('the streaming server', () => streaming.stop());
    await server.start();
    rollback.add('the CRI server', () => server.stop());
  } catch (error) {
    await rollback.run((what, failure) => {
      logger.error(`Closing ${what} failed`, { error: messageOf(failure) });
    });
    throw error;
  }
}

/** The page of metrics and probes; undefined where `metrics.listen` is empty. */
function metricsPage(
  { listen: address, tls_certificate: certificate, tls_key: key }: Config['metrics'],
  metrics: Metrics,
  checks: ReadinessChecks,
  logger: Logger,
): MetricsPage | undefined {
  if (address === '') return undefined;
  return serveMetrics({ address, tls: certificate === '' ? undefined : { certificate, key }, metrics, checks, logger });
}

async function streamingServer({ streaming }: Config, logger: Logger): Promise<StreamingServer> {
  const { address, port, idle_timeout_seconds, tls_certificate, tls_key } = streaming;
  const tls = tls_certificate === '' ? undefined : await readCertificate(tls_certificate, tls_key);
  return new StreamingServer({ address, port, idleTimeoutMs: idle_timeout_seconds * 1000, tls, logger });
}

/** What runs, for the service manager: `systemctl status` shows it. */
function summary({ pods, containers }: Services): string {
  const ready = pods.list().filter(({ phase }) => phase === 'ready').length;
  const running = containers.list().filter(({ phase }) => phase === 'running').length;
  return `${String(ready)} pods and ${String(running)} containers running`;
}

/** @param running the configuration that this process started with. */
function reloadOnHangup(logger: RootLogger, running: Config, reload: () => Promise<Config>): void {
  process.on('SIGHUP', () => {
    reload().then(
      (read) => {
        const { level } = read.log;
        logger.setLevel(level);
        const isChanged = (key: string) => !isDeepStrictEqual(valueAt(read, [key]), valueAt(running, [key]));
        const others = Object.keys(read).filter((key) => key !== 'log' && isChanged(key));
        const restartFor = others.length > 0 ? { restartFor: others } : {};
        logger.info('Configuration reloaded; log level applied', { level, ...restartFor });
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
