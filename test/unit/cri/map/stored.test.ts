import test from 'ava';
import { ContainerConfig, LinuxContainerResources, PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { containerSpec } from '../../../../src/cri/map/container-spec.ts';
import { podSpec } from '../../../../src/cri/map/pod-spec.ts';
import { askedNamespaces, askedOfContainer, toOpaque } from '../../../../src/cri/map/request.ts';
import { storedContainer, storedPod } from '../../../../src/cri/map/stored.ts';
import { fromJson, toJson } from '../../../../src/utils/json.ts';

const settings = { cgroupDriver: 'cgroupfs', cgroupParent: '' } as const;
const stored = (record: unknown) => fromJson(toJson(record)) as Record<string, unknown>;

test('a stored pod request parses as a live one', (t) => {
  const config = PodSandboxConfig.create({
    metadata: { name: 'web', namespace: 'default', uid: 'u' },
    annotations: { a: 'b' },
    linux: { sysctls: { 'kernel/shm_rmid_forced': '1' }, resources: { memoryLimitInBytes: 1n } },
  });
  const resources = { resources: LinuxContainerResources.create({ memoryLimitInBytes: 64n }) };
  const { spec, request } = storedPod(settings)(stored({ config, resources }));
  t.deepEqual(spec, { ...podSpec(config, settings), resources: { memory: 64 } });
  t.deepEqual(request, toOpaque(config));
  t.deepEqual(storedPod(settings)(stored({ config })).spec, podSpec(config, settings));
});

test('a stored container request parses as a live one', (t) => {
  const config = ContainerConfig.create({
    metadata: { name: 'c', attempt: 3 },
    image: { image: 'i' },
    envs: [{ key: 'A', value: Buffer.from('é') }],
    linux: { resources: { memoryLimitInBytes: 64n } },
  });
  t.deepEqual(storedContainer(stored({ config })), { spec: containerSpec(config), request: toOpaque(config) });
});

test('a request survives JSON, numbers and bytes as strings', (t) => {
  const ids = [{ hostId: 1, containerId: 0, length: 65_536 }];
  const config = ContainerConfig.create({
    image: { image: 'i', userSpecifiedImage: 'u', annotations: { $bigint: '1', $bytes: 'aGVsbG8=' } },
    mounts: [{ containerPath: '/m', hostPath: '/h', propagation: 2, uidMappings: ids, image: { image: 'x' } }],
    envs: [{ key: 'A', value: Buffer.from('text') }],
    linux: { resources: { memoryLimitInBytes: 64n } },
  });
  const opaque = JSON.parse(JSON.stringify(toOpaque(config))) as object;
  t.like(opaque, { envs: [{ key: 'A', value: 'text' }], linux: { resources: { memoryLimitInBytes: '64' } } });
  const { image, mounts } = askedOfContainer(opaque);
  t.deepEqual({ image, mounts }, { image: config.image, mounts: config.mounts } as object);
  const namespaceOptions = { network: 2, usernsOptions: { mode: 2 } } as const;
  const pod = PodSandboxConfig.create({ linux: { securityContext: { namespaceOptions } } });
  t.deepEqual(askedNamespaces(toOpaque(pod)), pod.linux?.securityContext?.namespaceOptions);
  t.is(askedNamespaces(toOpaque(PodSandboxConfig.create())), undefined);
});
