import test from 'ava';
import { toCniResult } from '../../../../src/cri/map/cni-result.ts';

const network = (result: unknown) => ({ ifName: 'eth0', conflist: '{}', result: JSON.stringify(result) });

test('the results of networks become one, by interface', (t) => {
  const first = network({
    cniVersion: '1.0.0',
    interfaces: [
      { name: 'veth1', mac: '02:00:00:00:00:01' },
      { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/ns/net' },
    ],
    ips: [
      { address: '10.1.2.3/24', gateway: '10.1.2.1', interface: 1 },
      { address: 'fd00::3/64', interface: 1 },
    ],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: {},
  });
  const second = network({ interfaces: [{ name: 'eth1', sandbox: '/run/ns/net' }] });
  t.deepEqual(toCniResult([first, second, { ...second, result: '' }]), {
    Interfaces: {
      veth1: { IPConfigs: [], Mac: '02:00:00:00:00:01', Sandbox: '' },
      eth0: {
        IPConfigs: [
          { IP: '10.1.2.3', Gateway: '10.1.2.1' },
          { IP: 'fd00::3', Gateway: '' },
        ],
        Mac: '02:00:00:00:00:02',
        Sandbox: '/run/ns/net',
      },
      eth1: { IPConfigs: [], Mac: '', Sandbox: '/run/ns/net' },
    },
    DNS: [{}],
    Routes: [{ dst: '0.0.0.0/0' }],
  });
});

test('answers of another shape have no part in it', (t) => {
  const none = { Interfaces: {}, DNS: [], Routes: [] };
  for (const result of [null, 1, [], 'x', { interfaces: 1, ips: {}, routes: 'x' }, { interfaces: [null, 2] }]) {
    t.deepEqual(toCniResult([network(result)]), none);
  }
});
