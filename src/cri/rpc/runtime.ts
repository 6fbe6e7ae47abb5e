import { CgroupDriver, StatusResponse } from '../../../api/gen/cri.ts';
import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { Backend } from '../../core/model/backend.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

/** The only value of VersionResponse.version that the kubelet accepts. */
const KUBELET_API_VERSION = '0.1.0';

/** Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
export function runtimeCalls(services: Services): Handlers<typeof RuntimeServiceService> {
  const { config, network, backends, userNamespaces, version } = services;
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
      const { ready, reason, message } = await network.readiness();
      const mapped = (await userNamespaces.problem()) === undefined;
      const featuresOf = ({ sandboxes: { features } }: Backend) => ({
        ...features,
        userNamespaces: features.userNamespaces && mapped,
      });
      const handlers = backends.map((backend) => ({ name: backend.sandboxes.handler, features: featuresOf(backend) }));
      const standard = standardBackend(services);
      return StatusResponse.create({
        status: {
          conditions: [
            {
              type: 'RuntimeReady',
              status: problem === undefined,
              reason: problem === undefined ? '' : 'RuntimeNotReady',
              message: problem ?? '',
            },
            { type: 'NetworkReady', status: ready, reason, message },
          ],
        },
        // The empty name stands for the handler of pods that name none.
        runtimeHandlers: [
          ...(standard === undefined ? [] : [{ name: '', features: featuresOf(standard) }]),
          ...handlers,
        ],
        features: { supplementalGroupsPolicy: true, mountOptions: true },
        info: verbose
          ? { config: JSON.stringify(config), ociRuntime: JSON.stringify(await standard?.runner.version()) }
          : {},
      });
    },

    runtimeConfig: () => Promise.resolve({ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }),

    updateRuntimeConfig: async ({ runtimeConfig }) => {
      const ranges = (runtimeConfig?.networkConfig?.podCidr ?? '').split(',').map((range) => range.trim());
      await network.setPodRanges(ranges.filter((range) => range !== ''));
      return {};
    },
  };
}

function standardBackend({ config, backends }: Services): Backend | undefined {
  return backends.find(({ sandboxes }) => sandboxes.handler === config.runtime.default_handler);
}

/** Why pods cannot be run now, or undefined. */
async function runtimeProblem(services: Services): Promise<string | undefined> {
  const standard = standardBackend(services);
  const problem = await standard?.sandboxes.unavailableBecause();
  if (problem !== undefined) return problem;
  try {
    await standard?.runner.version();
    return undefined;
  } catch (error) {
    return String(error);
  }
}
