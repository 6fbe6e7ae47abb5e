import test from 'ava';
import { defaultSysctls } from '../../../../src/cri/map/sysctls.ts';

const [on, ports, range] = [
  { unprivilegedPorts: true, unprivilegedIcmp: true },
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
];
const pod = { network: 'pod', ipc: 'pod', pid: 'container' } as const;

test('pods may use low ports and ping without capabilities', (t) => {
  t.deepEqual(defaultSysctls(pod, on), { [ports]: '0', [range]: '0 2147483647' });
  t.deepEqual(defaultSysctls(pod, { unprivilegedPorts: true }), { [ports]: '0' });
  t.deepEqual(defaultSysctls(pod, {}), {});
});

test('a user namespace allows ping to its mapped groups', (t) => {
  const user = { hostId: 65_536, size: 65_536 };
  t.is(defaultSysctls({ ...pod, user }, on)[range], '0 65535');
});

test("host-network pods keep the node's sysctls", (t) => {
  t.deepEqual(defaultSysctls({ ...pod, network: 'node' }, on), {});
});
