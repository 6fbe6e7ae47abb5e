import test from 'ava';
import fc from 'fast-check';
import { ContainerConfig, PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { containerLogPath } from '../../../../src/core/lifecycle/containers/validate.ts';
import { hostsFile, resolvConf } from '../../../../src/host/platform/pod-file-texts.ts';
import {
  hostnameOf,
  namespaceOptions,
  networkRequest,
  sandboxSpec,
} from '../../../../src/core/lifecycle/pods/sandbox-spec.ts';
import { validatePodConfig } from '../../../../src/core/lifecycle/pods/validate.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import type { SandboxRecord } from '../../../../src/core/model/sandbox.ts';

type Partial = NonNullable<Parameters<typeof PodSandboxConfig.create>[0]>;
const metadata = { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 };
const pod = (partial: Partial = {}) => PodSandboxConfig.create({ metadata, ...partial });
const record = (config: PodSandboxConfig): SandboxRecord => ({
  id: 'a'.repeat(64),
  handler: 'lxc',
  config,
  phase: 'ready',
  createdAt: 1n,
  bootId: 'b',
});

const refused: [string, Partial, StatusCode][] = [
  ['config.metadata.name', { metadata: { ...metadata, name: '' } }, StatusCode.INVALID_ARGUMENT],
  ['config.metadata.uid', { metadata: { ...metadata, uid: 'a\nb' } }, StatusCode.INVALID_ARGUMENT],
  ['config.log_directory', { logDirectory: 'relative' }, StatusCode.INVALID_ARGUMENT],
  ['config.port_mappings[0].hostPort', { portMappings: [{ hostPort: 70_000 }] }, StatusCode.INVALID_ARGUMENT],
  ['config.port_mappings[0].containerPort', { portMappings: [{ hostPort: 80 }] }, StatusCode.INVALID_ARGUMENT],
  ['config.port_mappings[0].protocol', { portMappings: [{ protocol: 7 as never }] }, StatusCode.INVALID_ARGUMENT],
  ['config.port_mappings[0].host_ip', { portMappings: [{ hostIp: 'localhost' }] }, StatusCode.INVALID_ARGUMENT],
  ['config.dns_config.servers[0]', { dnsConfig: { servers: ['1.1.1.1\noptions x'] } }, StatusCode.INVALID_ARGUMENT],
  ['config.dns_config.searches[0]', { dnsConfig: { searches: ['a b'] } }, StatusCode.INVALID_ARGUMENT],
  [
    'config.linux.sysctls["kernel.panic"]',
    { linux: { sysctls: { 'kernel.panic': '1' } } },
    StatusCode.INVALID_ARGUMENT,
  ],
  [
    'config.linux.sysctls["net/../kernel/panic"]',
    { linux: { sysctls: { 'net/../kernel/panic': '1' } } },
    StatusCode.INVALID_ARGUMENT,
  ],
  [
    'config.linux.sysctls["net.ipv4.ip_forward"]',
    { linux: { sysctls: { 'net.ipv4.ip_forward': '1\nlxc.hook.start = x' } } },
    StatusCode.INVALID_ARGUMENT,
  ],
  ['config.linux.cgroup_parent', { linux: { cgroupParent: '/a\nb' } }, StatusCode.INVALID_ARGUMENT],
  [
    'config.linux.security_context.selinux_options',
    { linux: { securityContext: { selinuxOptions: { type: 't' } } } },
    StatusCode.UNIMPLEMENTED,
  ],
  ['config.windows', { windows: {} }, StatusCode.UNIMPLEMENTED],
  [
    'config.linux.security_context.apparmor',
    { linux: { securityContext: { apparmor: { profileType: 2, localhostRef: 'x' } } } },
    StatusCode.UNIMPLEMENTED,
  ],
  [
    'config.linux.security_context.namespace_options.userns_options',
    { linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 0 } } } } },
    StatusCode.INVALID_ARGUMENT,
  ],
];

for (const [field, partial, code] of refused) {
  test(`a pod is refused that has a bad ${field}`, (t) => {
    const error = t.throws(
      () => {
        validatePodConfig(pod(partial));
      },
      { instanceOf: CriError },
    );
    t.is(error.code, code);
    t.true(error.message.startsWith(field), error.message);
  });
}

test('a kernel parameter of a namespace that the pod shares with the node is refused', (t) => {
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.shmmax': '1' };
  t.notThrows(() => {
    validatePodConfig(pod({ linux: { sysctls } }));
  });
  for (const namespaceOptions of [{ network: 2 as const }, { ipc: 2 as const }]) {
    t.throws(
      () => {
        validatePodConfig(pod({ linux: { sysctls, securityContext: { namespaceOptions } } }));
      },
      { message: /would change the node/ },
    );
  }
});

test('hostnames: any text is a valid one or is refused, never something in between', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.constantFrom('--help', 'a\nlxc.hook.start=x', 'a b', '"x"', '.', 'a.', '-a')),
      (hostname) => {
        try {
          const made = hostnameOf(pod({ hostname }));
          t.regex(made, /^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/);
          t.true(made.length <= 64);
        } catch (error) {
          t.true(error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT);
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.is(hostnameOf(pod()), 'web');
});

test("namespaces: POD where nothing is said, the node's where asked, no hostname with the node's network", (t) => {
  t.deepEqual(namespaceOptions(pod()), { network: 'pod', ipc: 'pod', pid: 'pod', user: undefined });
  const config = pod({ linux: { securityContext: { namespaceOptions: { network: 2, ipc: 2, pid: 1 } } } });
  const spec = sandboxSpec(record(config), { runDir: '/run/x', defaultCgroupParent: '/default' });
  t.like(spec, { network: 'node', ipc: 'node', pid: 'container', hostname: '', cgroupParent: '/default' });
});

test('a port mapping without a host port offers nothing on the host', (t) => {
  const config = pod({
    portMappings: [{ containerPort: 80 }, { containerPort: 53, hostPort: 5353, protocol: 1, hostIp: '127.0.0.1' }],
  });
  t.deepEqual(networkRequest(record(config), '/ns').portMappings, [
    { hostIp: '127.0.0.1', hostPort: 5353, containerPort: 53, protocol: 'udp' },
  ]);
});

test('bandwidth comes from the annotations Kubernetes documents, or is refused', (t) => {
  const of = (ingress: string) =>
    networkRequest(record(pod({ annotations: { 'kubernetes.io/ingress-bandwidth': ingress } })), '/ns').bandwidth;
  t.is(networkRequest(record(pod()), '/ns').bandwidth, undefined);
  t.deepEqual(of('10M'), { ingressRate: 10_000_000 });
  t.deepEqual(of('1.5Ki'), { ingressRate: 1536 });
  for (const bad of ['', '10', '1m', '10 M', '-1M', '1E', '2P', '1e3'])
    t.throws(() => of(bad), { message: /bandwidth/ }, bad);
});

test("the pod's files say what the pod asked for", (t) => {
  const dns = { servers: ['10.10.10.10'], searches: ['google.com', 'b'], options: ['ndots:8'] };
  t.is(resolvConf(dns), 'search google.com b\nnameserver 10.10.10.10\noptions ndots:8\n');
  t.regex(hostsFile('web', ['10.1.2.3', 'fd00::3']), /10\.1\.2\.3\tweb\nfd00::3\tweb\n$/);
});

test("a log path stays below the pod's log directory", (t) => {
  const path = (logDirectory: string, logPath: string) =>
    containerLogPath(pod({ logDirectory }), ContainerConfig.create({ logPath }));
  t.is(path('/var/log/pods/x', 'web/0.log'), '/var/log/pods/x/web/0.log');
  t.is(path('/var/log/', 'a.log'), '/var/log/a.log');
  t.is(path('', 'a.log'), '');
  t.is(path('/var/log', ''), '');
  for (const bad of ['../a', 'x/../../a', '.', '/..'])
    t.throws(() => path('/var/log', bad), { message: /leaves the pod/ }, bad);
});
