import { join } from 'node:path';
import { versionInfo } from './cli/version-info.ts';
import type { Config } from './core/config/schema.ts';
import type { ContainerRunner } from './core/model/container-runner.ts';
import type { Logger } from './core/model/logger.ts';
import type { PluginHost } from './core/model/plugins.ts';
import { STATE } from './core/state-layout.ts';
import type { Services } from './cri/rpc/services.ts';
import type { NriPlugins } from './integrations/nri/nri-plugins.ts';

/** The plugins of this node, without any yet; undefined where NRI is off, whose code is not loaded then. */
export async function openNri(
  { nri }: Config,
  runner: ContainerRunner,
  logger: Logger,
  onLost: () => void,
): Promise<NriPlugins | undefined> {
  if (!nri.enable) return undefined;
  const { NriPlugins } = await import('./integrations/nri/nri-plugins.ts');
  return new NriPlugins({
    registrationTimeoutMs: nri.registration_timeout_seconds * 1000,
    requestTimeoutMs: nri.request_timeout_seconds * 1000,
    validator: nri.validator,
    version: versionInfo().version,
    ociRuntime: () => runner.version(),
    logger,
    onLost,
  });
}

/** Starts the installed plugins and accepts others. @throws CriError FAILED_PRECONDITION when the socket is in use. */
export async function startNri(
  plugins: NriPlugins,
  services: Pick<Services, 'pods' | 'containers' | 'config' | 'logger'>,
): Promise<{ stop: () => Promise<void> }> {
  const { config, logger } = services;
  const { NriServer } = await import('./integrations/nri/nri-server.ts');
  const sockets = join(config.state, STATE.plugins);
  const server = new NriServer(plugins, { ...config.nri, sockets, host: pluginHost(services), logger });
  await server.start();
  return server;
}

/** What plugins see of pods and containers, and change. */
function pluginHost({ pods, containers }: Pick<Services, 'pods' | 'containers'>): PluginHost {
  return {
    pods: () => pods.list().flatMap(({ id }) => pods.forPlugins(id) ?? []),
    containers: () =>
      containers
        .list()
        .filter(({ phase }) => phase !== 'exited')
        .map((record) => ({ record, spec: () => pods.backendOf(record.sandboxId).runner.spec(record.id) })),
    change: (changes) => containers.limits.change(changes),
  };
}
