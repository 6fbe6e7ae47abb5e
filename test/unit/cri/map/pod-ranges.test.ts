import test from 'ava';
import { podRanges } from '../../../../src/cri/map/pod-ranges.ts';

test('pod CIDRs are separated by commas', (t) => {
  t.deepEqual(podRanges(''), []);
  t.deepEqual(podRanges('10.1.0.0/24, fd00::/64,'), ['10.1.0.0/24', 'fd00::/64']);
  for (const range of ['bogus', '10.1.0.0', '10.1.0.0/33', 'x/8', 'fd00::/129', '10.1.0.0/24/8'])
    t.throws(
      () => podRanges(`10.1.0.0/24,${range}`),
      { message: /^runtime_config\.network_config\.pod_cidr: .*range/ },
      range,
    );
});
