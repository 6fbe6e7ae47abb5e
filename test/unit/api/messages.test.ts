import test from 'ava';
import * as cri from '../../../api/gen/cri.ts';

const beyondDouble = 2n ** 53n + 1n;
const smallest = -(2n ** 63n);

function roundTrip<T>(
  codec: { encode(message: T): { finish(): Uint8Array }; decode(input: Uint8Array): T },
  message: T,
): T {
  return codec.decode(codec.encode(message).finish());
}

test('a filled PodSandboxConfig survives encoding', (t) => {
  const config = cri.PodSandboxConfig.create({
    metadata: { name: 'web', uid: '6f1c', namespace: 'default', attempt: 4294967295 },
    hostname: 'web',
    logDirectory: '/var/log/pods/default_web_6f1c',
    dnsConfig: { servers: ['10.10.10.10'], searches: ['example.org'], options: ['ndots:8'] },
    portMappings: [{ protocol: cri.Protocol.UDP, containerPort: 53, hostPort: 5353, hostIp: '127.0.0.1' }],
    labels: { app: 'wéb', empty: '' },
    annotations: { 'example.org/note': 'two\nlines' },
    linux: {
      cgroupParent: '/kubepods/pod6f1c',
      securityContext: {
        namespaceOptions: {
          network: cri.NamespaceMode.POD,
          pid: cri.NamespaceMode.TARGET,
          targetId: 'abc',
          usernsOptions: {
            mode: cri.NamespaceMode.POD,
            uids: [{ hostId: 100000, containerId: 0, length: 65536 }],
            gids: [{ hostId: 100000, containerId: 0, length: 65536 }],
          },
        },
        runAsUser: { value: 0n },
        supplementalGroups: [0n, beyondDouble],
        supplementalGroupsPolicy: cri.SupplementalGroupsPolicy.Strict,
        seccomp: { profileType: cri.SecurityProfile_ProfileType.Localhost, localhostRef: '/profiles/web.json' },
      },
      sysctls: { 'kernel.shm_rmid_forced': '1' },
      overhead: { memoryLimitInBytes: 1n << 26n },
      resources: { cpuQuota: -1n, memoryLimitInBytes: beyondDouble, unified: { 'memory.high': '1' } },
    },
  });
  t.deepEqual(roundTrip(cri.PodSandboxConfig, config), config);
});

test('a filled ContainerConfig survives encoding', (t) => {
  const binary = Buffer.from([0x00, 0xff, 0xfe, 0xc3, 0x28, 0x80]);
  const config = cri.ContainerConfig.create({
    metadata: { name: 'main', attempt: 3 },
    image: { image: 'sha256:0123', userSpecifiedImage: 'example.org/web:1', runtimeHandler: 'vm' },
    command: ['/bin/sh', '-c'],
    args: ['', 'sleep 1'],
    workingDir: '/srv',
    envs: [
      { key: 'BINARY', value: binary },
      { key: 'TEXT', value: Buffer.from('wért') },
      { key: 'EMPTY', value: Buffer.alloc(0) },
    ],
    mounts: [
      {
        containerPath: '/data',
        hostPath: '/srv/data',
        readonly: true,
        recursiveReadOnly: true,
        propagation: cri.MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
        uidMappings: [{ hostId: 1, containerId: 0, length: 1 }],
      },
      {
        containerPath: '/model',
        image: { image: 'example.org/model:2' },
        imageSubPath: 'a/b',
        mountOptions: ['nodev'],
      },
    ],
    devices: [{ containerPath: '/dev/fuse', hostPath: '/dev/fuse', permissions: 'rwm' }],
    labels: { app: 'web' },
    annotations: { note: 'x' },
    logPath: 'main/3.log',
    stdin: true,
    stdinOnce: true,
    tty: true,
    linux: {
      resources: {
        cpuPeriod: 100000n,
        cpuShares: 2n,
        memoryLimitInBytes: beyondDouble,
        memorySwapLimitInBytes: smallest,
        oomScoreAdj: -997n,
        hugepageLimits: [{ pageSize: '2MB', limit: 2n ** 64n - 1n }],
      },
      securityContext: {
        capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'], addAmbientCapabilities: ['CHOWN'] },
        runAsUser: { value: beyondDouble },
        noNewPrivs: true,
        maskedPaths: ['/proc/kcore'],
        readonlyPaths: ['/proc/sys'],
      },
    },
    CDIDevices: [{ name: 'example.org/gpu=0' }],
    stopSignal: cri.Signal.SIGNAL_SIGRTMAX,
  });
  const back = roundTrip(cri.ContainerConfig, config);
  t.deepEqual(back, config);
  t.true(Buffer.isBuffer(back.envs[0]!.value));
  t.deepEqual([...back.envs[0]!.value], [...binary]);
  t.is(back.linux!.resources!.memoryLimitInBytes, 9007199254740993n);
  t.is(back.linux!.resources!.memorySwapLimitInBytes, smallest);
});

test('an absent message differs from an empty one', (t) => {
  t.is(roundTrip(cri.ImageStatusResponse, cri.ImageStatusResponse.create()).image, undefined);
  t.deepEqual(
    roundTrip(cri.Image, cri.Image.create({ uid: { value: 0n } })).uid,
    { value: 0n },
    'user 0 must not become no user',
  );
});

test('create sets default values', (t) => {
  t.deepEqual(cri.Container.create({ id: 'a' }), {
    id: 'a',
    podSandboxId: '',
    metadata: undefined,
    image: undefined,
    imageRef: '',
    state: cri.ContainerState.CONTAINER_CREATED,
    createdAt: 0n,
    labels: {},
    annotations: {},
    imageId: '',
  });
});

test("encoding matches protobuf's", (t) => {
  const request = cri.StopContainerRequest.create({ containerId: 'abc', timeout: -1n });
  t.is(
    Buffer.from(cri.StopContainerRequest.encode(request).finish()).toString('hex'),
    '0a0361626310' + 'ff'.repeat(9) + '01',
  );
});

test('unknown fields are skipped and unknown enums kept', (t) => {
  // Field 1 of 99, and field 1000 with a string.
  const bytes = Buffer.from([0x08, 99, 0xc2, 0x3e, 1, 0x78]);
  t.deepEqual<unknown, unknown>(cri.LinuxRuntimeConfiguration.decode(bytes), { cgroupDriver: 99 });
});

test('a 64-bit number out of range is refused', (t) => {
  t.throws(() => cri.Int64Value.encode({ value: 2n ** 63n }).finish(), { message: /too large/ });
  t.throws(() => cri.UInt64Value.encode({ value: -1n }).finish(), { message: /too large/ });
});

test('truncated bytes are refused', (t) => {
  const bytes = cri.VersionRequest.encode({ version: '0.1.0' }).finish();
  t.throws(() => cri.VersionRequest.decode(bytes.subarray(0, -1)));
});
