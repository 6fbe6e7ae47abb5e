import { CgroupDriver, StatusResponse } from '../../../api/gen/cri.ts';
import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { Backend } from '../../core/model/backend.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { NetworkReadiness } from '../../core/model/network.ts';
import { ordinaryHandler, reachableHandlers } from '../../core/model/routing.ts';
import type { HandlerFeatures } from '../../core/model/sandbox-provider.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Handlers } from '../handlers.ts';
import { podRanges } from '../map/pod-ranges.ts';
import type { Services } from './services.ts';

/** The only value of VersionResponse.version that the kubelet accepts. */
const KUBELET_API_VERSION = '0.1.0';

/** Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
export function runtimeCalls(services: Services): Handlers<typeof RuntimeServiceService> {
  const { cgroupDriver, config, backends, version } = services;
  return {
    version: () =>
      Promise.resolve({
        version: KUBELET_API_VERSION,
        runtimeName: 'proxmox-lxcri',
        runtimeVersion: version,
        runtimeApiVersion: 'v1',
      }),

    status: async ({ verbose }) => {
      const problem = await runtimeProblem(services);
      const standard = standardBackend(services);
      const ordinary = ordinaryBackend(services) ?? standard;
      const network = await networkReadiness(ordinary);
      const standardFeatures = await featuresOfUnnamed(services);
      const handlers = await Promise.all(
        backends.map(async (backend) => ({ name: backend.sandboxes.handler, features: await featuresOf(backend) })),
      );
      return StatusResponse.create({
        status: {
          conditions: [
            {
              type: 'RuntimeReady',
              status: problem === undefined,
              reason: problem?.reason ?? '',
              message: problem?.message ?? '',
            },
            { type: 'NetworkReady', status: network.ready, reason: network.reason, message: network.message },
          ],
        },
        // The empty name stands for every handler that routing may choose.
        runtimeHandlers: [{ name: '', features: standardFeatures }, ...handlers],
        features: {
          supplementalGroupsPolicy: true,
          mountOptions: true,
          userNamespacesHostNetwork: standardFeatures.userNamespaces,
        },
        info: verbose
          ? {
              config: JSON.stringify(config),
              ociRuntime: JSON.stringify(await versionOf(standard)),
              cniconfig: JSON.stringify(await ordinary.network.describe()),
              lastCNILoadStatus: JSON.stringify(network.ready ? 'OK' : network.message),
            }
          : {},
      });
    },

    runtimeConfig: () => {
      return Promise.resolve({
        linux: { cgroupDriver: cgroupDriver === 'systemd' ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS },
      });
    },

    updateRuntimeConfig: async ({ runtimeConfig }) => {
      const ranges = podRanges(runtimeConfig?.networkConfig?.podCidr ?? '');
      for (const network of new Set(backends.map(({ network }) => network))) await network.setPodRanges(ranges);
      return {};
    },
  };
}

function standardBackend({ config, backends }: Services): Backend {
  const handler = config.runtime.default_handler;
  const found = backends.find(({ sandboxes }) => sandboxes.handler === handler);
  if (found === undefined) throw new CriError(StatusCode.INTERNAL, `runtime.default_handler: no handler ${handler}`);
  return found;
}

/** Of pods that meet no condition of routing: the node is ready for them when their network is. */
function ordinaryBackend({ config, backends }: Services): Backend | undefined {
  const handler = ordinaryHandler({ rules: config.routing, defaultHandler: config.runtime.default_handler });
  return backends.find(({ sandboxes }) => sandboxes.handler === handler);
}

async function featuresOf({ sandboxes: { features }, platform }: Backend): Promise<HandlerFeatures> {
  const offersUserNamespaces = async () => (await platform.userNamespaces.problem()) === undefined;
  const userNamespaces = features.userNamespaces && (await offersUserNamespaces().catch(() => false));
  return { ...features, userNamespaces };
}

/** What each handler has that a pod may get whose request names none: the kubelet does not know which one it will be. */
async function featuresOfUnnamed({ config, backends }: Services): Promise<HandlerFeatures> {
  const reachable = reachableHandlers({ rules: config.routing, defaultHandler: config.runtime.default_handler });
  const possible = backends.filter(({ sandboxes }) => reachable.includes(sandboxes.handler));
  const features = await Promise.all(possible.map(featuresOf));
  return {
    recursiveReadOnlyMounts: features.every(({ recursiveReadOnlyMounts }) => recursiveReadOnlyMounts),
    userNamespaces: features.every(({ userNamespaces }) => userNamespaces),
  };
}

/** The readiness of the network; an error counts as not ready. */
async function networkReadiness({ network }: Backend): Promise<NetworkReadiness> {
  try {
    return await network.readiness();
  } catch (error) {
    return { ready: false, reason: 'NetworkUnknown', message: messageOf(error) };
  }
}

async function versionOf({ runner }: Backend): Promise<unknown> {
  try {
    return await runner.version();
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** The reason why pods cannot run, or undefined. Never fails: the kubelet learns of it by Status. */
async function runtimeProblem(services: Services): Promise<{ reason: string; message: string } | undefined> {
  const problem = await services.hostProblem();
  if (problem !== undefined) return problem;
  const standard = standardBackend(services);
  try {
    const message = await standard.sandboxes.unavailableBecause();
    if (message !== undefined) return { reason: 'HandlerUnavailable', message };
    await standard.runner.version();
    return undefined;
  } catch (error) {
    return { reason: 'RuntimeNotReady', message: messageOf(error) };
  }
}
