import test from 'ava';
import { ContainerConfig } from '../../../../api/gen/cri.ts';
import { ociSpec } from '../../../../src/core/lifecycle/oci/spec.ts';
import type { SpecInputs } from '../../../../src/core/lifecycle/oci/spec.ts';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { HostFiles } from '../../../../src/host/platform/host-files.ts';
import { containerSpec } from '../../../../src/cri/map/container-spec.ts';

type Partial = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;
type Pod = SpecInputs['pod'];

const spec = (partial: Partial, pod: { [K in keyof Pod]?: Pod[K] } = {}, pid?: string) =>
  ociSpec(new HostFiles(), {
    containerId: 'c',
    asked: containerSpec(
      ContainerConfig.create({ metadata: { name: 'c' }, image: { image: 'i' }, command: ['x'], ...partial }),
    ),
    image: {
      architecture: 'amd64',
      os: 'linux',
      config: {
        User: '',
        Env: [],
        Entrypoint: [],
        Cmd: [],
        WorkingDir: '',
        Volumes: [],
        StopSignal: '',
        Labels: {},
        ExposedPorts: [],
      },
      diffIds: [],
    },
    rootfs: '/r',
    user: { uid: 0, gid: 0, supplementalGroups: [], home: '/' },
    placement: { namespaces: pid === undefined ? {} : { pid }, cgroup: '/pod', monitorCgroup: '/pod.monitor' },
    targetPidNamespace: '/target',
    mounts: {
      targets: (partial.mounts ?? []).map(() => '/m'),
      declared: [],
      images: new Map(),
      absentSourcesToReject: [],
    },
    host: {
      capabilities: new Set(),
      minOomScoreAdj: 0,
      hardLimits: new Map(),
      swapAccounting: false,
      hugetlbController: false,
      unifiedCgroups: true,
      selinux: false,
      bootId: 'b',
      hostname: 'node',
    },
    pidsLimit: -1,
    rlimits: [],
    pod: {
      files: { resolvConf: '/p/r', hostname: '/p/n', hosts: '/p/h', shm: '/p/s' },
      hostname: 'h',
      network: 'pod',
      ipc: 'pod',
      userNamespace: undefined,
      annotations: { 'io.kubernetes.cri.sandbox-id': 'pod' },
      ...pod,
    },
  });
const withNamespaces = (namespaceOptions: object): Partial => ({
  linux: { securityContext: { namespaceOptions: { pid: 1, ...namespaceOptions } } },
});
const plain = withNamespaces({});

test("annotations reach the spec, except crun's and systemd's", async (t) => {
  const { annotations } = await spec({
    ...plain,
    annotations: {
      'example.com/x': 'kept',
      'run.oci.handler': 'krun',
      'org.systemd.property.TasksMax': "'1'",
      'io.kubernetes.cri.sandbox-id': 'forged',
    },
  });
  t.deepEqual(annotations, { 'example.com/x': 'kept', 'io.kubernetes.cri.sandbox-id': 'pod' });
});

test('a container has the requested PID namespace', async (t) => {
  const of = async (partial: Partial, pod?: string) =>
    (await spec(partial, {}, pod)).linux.namespaces.filter(({ type }) => type === 'pid');
  t.deepEqual(await of(plain), [{ type: 'pid' }]);
  t.deepEqual(await of({}, '/shared'), [{ type: 'pid', path: '/shared' }]);
  t.deepEqual(await of(withNamespaces({ pid: 2 }), '/shared'), []);
  t.deepEqual(await of(withNamespaces({ pid: 3, targetId: 'x' })), [{ type: 'pid', path: '/target' }]);
  await t.throwsAsync(of({}), { code: StatusCode.INVALID_ARGUMENT, message: /pid: POD requires a pod/ } as object);
});

test("a container uses its pod's user namespace", async (t) => {
  const userNamespace = { hostId: 65_536, size: 65_536 };
  const ids = [{ hostId: 65_536, containerId: 0, length: 65_536 }];
  const own = withNamespaces({ usernsOptions: { mode: 0, uids: ids, gids: ids } });
  const node = withNamespaces({ usernsOptions: { mode: 2 } });
  const mapping = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
  t.deepEqual((await spec(plain, { userNamespace })).linux.uidMappings, mapping);
  t.deepEqual((await spec(own, { userNamespace })).linux.gidMappings, mapping);
  t.is((await spec(node)).linux.uidMappings, undefined);
  for (const wrong of [spec(own), spec(node, { userNamespace })])
    await t.throwsAsync(wrong, { message: /userns_options: must be the same as the pod's, or absent/ });
});
