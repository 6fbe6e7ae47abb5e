import test from 'ava';
import {
  cgroupParentPath,
  checkCgroupParent,
  defaultCgroupParents,
} from '../../../../src/core/lifecycle/pods/cgroup-parent.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { isSliceName, slicePath } from '../../../../src/core/model/systemd-slice.ts';

test('slices lie where systemd has them, a level a dash', (t) => {
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

test('a parent of the other driver is refused, naming both; each has a default', (t) => {
  const refused = (parent: string, driver: 'cgroupfs' | 'systemd', what: RegExp) => {
    const error = t.throws(() => checkCgroupParent(parent, driver, 'config.linux.cgroup_parent'), {
      instanceOf: CriError,
    });
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.regex(error?.message ?? '', what);
    t.regex(error?.message ?? '', /^config\.linux\.cgroup_parent: .*"cgroupfs" \(paths\) or "systemd" \(slices\)/);
  };
  refused('kubepods-pod1.slice', 'cgroupfs', /is a systemd slice, and the cgroup driver is "cgroupfs"/);
  refused('kubepods/pod1', 'cgroupfs', /is no absolute cgroup path/);
  refused('/kubepods/burstable/pod1', 'systemd', /is no systemd slice, and the cgroup driver is "systemd"/);
  refused('/elsewhere/kubepods-pod1.slice', 'systemd', /is no systemd slice/);
  refused('kubepods--pod1.slice', 'systemd', /is no systemd slice/);
  for (const driver of ['cgroupfs', 'systemd'] as const)
    t.notThrows(() => checkCgroupParent(defaultCgroupParents[driver], driver, 'x'));
});

test('the path of a parent: as it is, or where the slice is', (t) => {
  const path = '/kubepods.slice/kubepods-pod1.slice';
  for (const parent of ['kubepods-pod1.slice', '/kubepods-pod1.slice', path]) {
    t.notThrows(() => checkCgroupParent(parent, 'systemd', 'x'));
    t.is(cgroupParentPath(parent), path);
  }
  t.is(cgroupParentPath('/kubepods/burstable/pod1'), '/kubepods/burstable/pod1');
  t.is(cgroupParentPath('/system.slice/x'), '/system.slice/x');
});
