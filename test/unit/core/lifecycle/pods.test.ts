import test from 'ava';
import { PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { containerLogPath } from '../../../../src/core/lifecycle/containers/log-path.ts';
import { podName } from '../../../../src/core/lifecycle/pods/sandbox-record.ts';
import { networkRequest, sandboxSpec } from '../../../../src/core/lifecycle/pods/sandbox-spec.ts';
import { hostsFile, resolvConf } from '../../../../src/host/platform/pod-file-texts.ts';
import type { SandboxRecord } from '../../../../src/core/model/sandbox.ts';
import { podSpec } from '../../../../src/cri/map/pod-spec.ts';

type Partial = NonNullable<Parameters<typeof PodSandboxConfig.create>[0]>;
const metadata = { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 };
const record = (partial: Partial = {}): SandboxRecord => ({
  id: 'a'.repeat(64),
  handler: 'lxc',
  spec: podSpec(PodSandboxConfig.create({ metadata, ...partial }), {
    cgroupDriver: 'cgroupfs',
    cgroupParent: '/default',
  }),
  request: {},
  phase: 'ready',
  createdAt: 1n,
  bootId: 'b',
});

test('the provider gets namespaces and hostname of the pod', (t) => {
  const namespaceOptions = { network: 2, ipc: 2, pid: 1 } as const;
  const spec = sandboxSpec(record({ linux: { securityContext: { namespaceOptions } } }), '/run/x');
  t.like(spec, { network: 'node', ipc: 'node', pid: 'container', hostname: '', cgroupParent: '/default' });
  t.false('userNamespace' in spec);
});

test("the network gets the pod's CRI fields", (t) => {
  const asked = record({
    linux: { cgroupParent: '/kubepods/p' },
    annotations: { a: 'b' },
    dnsConfig: { servers: ['::1'] },
  });
  t.like(networkRequest(asked, '/ns'), {
    podName: 'web',
    podNamespace: 'default',
    podUid: 'u1',
    netns: '/ns',
    cgroupParent: '/kubepods/p',
    annotations: { a: 'b' },
    dns: { servers: ['::1'], searches: [], options: [] },
  });
  t.is(networkRequest(record(), '/ns').cgroupParent, '');
});

test('LXC names are readable and unique', (t) => {
  t.is(podName(metadata), 'default/web/u1/0');
  t.not(podName({ ...metadata, name: 'a/b', uid: 'c' }), podName({ ...metadata, name: 'a', uid: 'b/c' }));
});

test('pod files contain the requested values', (t) => {
  const dns = { servers: ['10.10.10.10'], searches: ['google.com', 'b'], options: ['ndots:8'] };
  t.is(resolvConf(dns), 'search google.com b\nnameserver 10.10.10.10\noptions ndots:8\n');
  t.regex(hostsFile('web', ['10.1.2.3', 'fd00::3']), /10\.1\.2\.3\tweb\nfd00::3\tweb\n$/);
});

test('a log path stays below the log directory', (t) => {
  const path = containerLogPath;
  t.is(path('/var/log/pods/x', 'web/0.log'), '/var/log/pods/x/web/0.log');
  t.is(path('/var/log/', 'a.log'), '/var/log/a.log');
  t.is(path('', 'a.log'), '');
  t.is(path('/var/log', ''), '');
  for (const bad of ['../a', 'x/../../a', '.', '/..'])
    t.throws(() => path('/var/log', bad), { message: /is outside the pod/ }, bad);
});
