import test from 'ava';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { isSliceName, slicePath } from '../../../../src/core/model/systemd-slice.ts';
import { cgroupParent } from '../../../../src/cri/map/cgroup-parent.ts';

const parse = (asked: string, cgroupDriver: 'cgroupfs' | 'systemd', configured = '') =>
  cgroupParent(asked, { cgroupDriver, cgroupParent: configured });

test('slices map to cgroup paths as in systemd', (t) => {
  t.is(slicePath('-.slice'), '/');
  t.is(slicePath('test.slice'), '/test.slice');
  t.is(
    slicePath('kubepods-besteffort-pod1b_2.slice'),
    '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1b_2.slice',
  );
  for (const name of ['-.slice', 'a.slice', 'a-b.slice', 'a_b.c-d.slice']) t.true(isSliceName(name), name);
  for (const name of ['', '.slice', 'a', '-a.slice', 'a-.slice', 'a--b.slice', 'a/b.slice', 'a.slice\n', 'a b.slice'])
    t.false(isSliceName(name), name);
});

test('a parent of the other driver is refused', (t) => {
  const refused = (parent: string, driver: 'cgroupfs' | 'systemd', what: RegExp) => {
    const error = t.throws(() => parse(parent, driver), { instanceOf: CriError });
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.regex(error?.message ?? '', what);
    t.regex(error?.message ?? '', /^config\.linux\.cgroup_parent: .*"cgroupfs" \(paths\) or "systemd" \(slices\)/);
  };
  refused('kubepods-pod1.slice', 'cgroupfs', /is a systemd slice, but the cgroup driver is "cgroupfs"/);
  refused('kubepods/pod1', 'cgroupfs', /is not an absolute cgroup path/);
  refused('/kubepods/burstable/pod1', 'systemd', /is not a systemd slice, but the cgroup driver is "systemd"/);
  refused('/elsewhere/kubepods-pod1.slice', 'systemd', /is not a systemd slice/);
  refused('kubepods--pod1.slice', 'systemd', /is not a systemd slice/);
  t.throws(() => parse('/a\nb', 'cgroupfs'), { message: /^config\.linux\.cgroup_parent: must not contain control/ });
});

test('a pod without a parent has the default one', (t) => {
  t.deepEqual(parse('', 'cgroupfs'), { asked: '', path: '/proxmox-lxcri' });
  t.deepEqual(parse('', 'systemd'), { asked: '', path: slicePath('proxmox-lxcri.slice') });
  t.deepEqual(parse('', 'cgroupfs', '/mine'), { asked: '', path: '/mine' });
});

test('a parent resolves to its cgroup path', (t) => {
  const path = '/kubepods.slice/kubepods-pod1.slice';
  for (const asked of ['kubepods-pod1.slice', '/kubepods-pod1.slice', path]) {
    t.deepEqual(parse(asked, 'systemd'), { asked, path });
  }
  t.is(parse('/kubepods/burstable/pod1', 'cgroupfs').path, '/kubepods/burstable/pod1');
  t.is(parse('/system.slice/x', 'cgroupfs').path, '/system.slice/x');
});
