import test from 'ava';
import fc from 'fast-check';
import { PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { podSpec } from '../../../../src/cri/map/pod-spec.ts';

type Partial = NonNullable<Parameters<typeof PodSandboxConfig.create>[0]>;
const metadata = { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 };
const parse = (partial: Partial = {}) =>
  podSpec(PodSandboxConfig.create({ metadata, ...partial }), { cgroupDriver: 'cgroupfs', cgroupParent: '' });

const refused: [string, Partial, StatusCode][] = [
  ['config.metadata.name', { metadata: { ...metadata, name: '' } }, StatusCode.INVALID_ARGUMENT],
  ['config.metadata.uid', { metadata: { ...metadata, uid: 'a\nb' } }, StatusCode.INVALID_ARGUMENT],
  ['config.log_directory', { logDirectory: 'relative' }, StatusCode.INVALID_ARGUMENT],
  ['config.port_mappings[0].host_port', { portMappings: [{ hostPort: 70_000 }] }, StatusCode.INVALID_ARGUMENT],
  ['config.port_mappings[0].container_port', { portMappings: [{ hostPort: 80 }] }, StatusCode.INVALID_ARGUMENT],
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
  test(`a pod with a bad ${field} is refused`, (t) => {
    const error = t.throws(
      () => {
        parse(partial);
      },
      { instanceOf: CriError },
    );
    t.is(error.code, code);
    t.true(error.message.startsWith(field), error.message);
  });
}

test('a pod of more than 1 MiB is refused', (t) => {
  const big = 'x'.repeat(2 ** 20);
  for (const partial of [
    { annotations: { a: big } },
    { labels: { [big]: '' } },
    { metadata: { ...metadata, name: big } },
    { dnsConfig: { searches: [big] } },
  ]) {
    const message = /^config: takes 10\d{5} bytes, the maximum is 1048576; shorten/;
    const error = t.throws(() => parse(partial), { instanceOf: CriError, message });
    t.is(error.code, StatusCode.INVALID_ARGUMENT);
  }
  t.notThrows(() => parse({ annotations: { a: big.slice(1000) } }));
});

test('a sysctl of a node namespace is refused', (t) => {
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.shmmax': '1' };
  t.notThrows(() => {
    parse({ linux: { sysctls } });
  });
  for (const namespaceOptions of [{ network: 2 as const }, { ipc: 2 as const }]) {
    t.throws(
      () => {
        parse({ linux: { sysctls, securityContext: { namespaceOptions } } });
      },
      { message: /would change the node/ },
    );
  }
});

test('hostnames are valid or refused', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.constantFrom('--help', 'a\nlxc.hook.start=x', 'a b', '"x"', '.', 'a.', '-a')),
      (hostname) => {
        try {
          const made = parse({ hostname }).hostname;
          t.regex(made, /^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/);
          t.true(made.length <= 64);
        } catch (error) {
          t.true(error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT);
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.is(parse().hostname, 'web');
  t.is(parse({ linux: { securityContext: { namespaceOptions: { network: 2 } } } }).hostname, '');
});

test('a port mapping without a host port is ignored', (t) => {
  const portMappings = [
    { containerPort: 80 },
    { containerPort: 53, hostPort: 5353, protocol: 1 as const, hostIp: '::1' },
  ];
  t.deepEqual(parse({ portMappings }).portMappings, [
    { hostIp: '::1', hostPort: 5353, containerPort: 53, protocol: 'udp' },
  ]);
});

test('bandwidth comes from the documented annotations', (t) => {
  const of = (ingress: string) => parse({ annotations: { 'kubernetes.io/ingress-bandwidth': ingress } }).bandwidth;
  t.is(parse().bandwidth, undefined);
  t.deepEqual(of('10M'), { ingressRate: 10_000_000 });
  t.deepEqual(of('1.5Ki'), { ingressRate: 1536 });
  for (const bad of ['', '10', '1m', '10 M', '-1M', '1E', '2P', '1e3'])
    t.throws(() => of(bad), { message: /bandwidth/ }, bad);
});

test('sysctls have the names of sysctl(8)', (t) => {
  const of = (sysctls: Record<string, string>) => parse({ linux: { sysctls } }).sysctls;
  const vlan = { 'net.ipv4.conf.eth0/100.rp_filter': '1' };
  t.deepEqual(of(vlan), vlan);
  t.deepEqual(of({ 'net/ipv4/conf/eth0.100/rp_filter': '1' }), vlan);
  t.deepEqual(of({ 'kernel/shm_rmid_forced': '1' }), { 'kernel.shm_rmid_forced': '1' });
  t.throws(() => of({ 'kernel/shmmax': '1', 'kernel.shmmax': '2' }), { message: /is a duplicate of/ });
  t.throws(() => of({ 'kernel.shmmax': '' }), { message: /sysctls\["kernel\.shmmax"\]: must be 1 to 4095/ });
});

test('the limits of an unlimited cgroup are no limits', (t) => {
  const { resources, overhead } = parse({
    linux: {
      resources: { memoryLimitInBytes: 9_223_372_036_854_771_712n, cpuQuota: -1n },
      overhead: { memoryLimitInBytes: -1n - (64n << 20n), cpuShares: -100n },
    },
  });
  t.deepEqual(resources, { memory: 'unlimited', cpuQuota: 'unlimited' });
  t.deepEqual(overhead, { memory: 'unlimited' });
});

test("a pod's sysctls override configured ones", (t) => {
  const name = 'net.ipv4.ip_unprivileged_port_start';
  const config = PodSandboxConfig.create({
    metadata,
    linux: { sysctls: { 'net/ipv4/ip_unprivileged_port_start': '80' } },
  });
  const settings = { cgroupDriver: 'cgroupfs', cgroupParent: '', unprivilegedPorts: true } as const;
  t.deepEqual(podSpec(config, settings).sysctls, { [name]: '80' });
});
