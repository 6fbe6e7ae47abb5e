import test from 'ava';
import fc from 'fast-check';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { layoutOf, parseHierarchies } from '../../../../src/host/cgroup/hierarchies.ts';
import { checkCgroupPath, isCgroupPath } from '../../../../src/host/cgroup/path.ts';

const mounts = {
  tmpfs: '30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755',
  v2: '31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate',
  unified: '32 30 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw',
  memory: '33 30 0:29 / /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory',
  cpu: '34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct',
  systemd: '35 30 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd',
  disk: '36 25 8:1 / / rw - ext4 /dev/sda1 rw',
};

test('cgroup v2 alone is found', (t) => {
  const found = parseHierarchies([mounts.disk, mounts.v2].join('\n'), '0::/init.scope\n');
  t.deepEqual(found, [{ version: 2, mountPoint: '/sys/fs/cgroup', controllers: [], initPath: '' }]);
  t.is(layoutOf(found), 'unified');
});

test('v1 controllers beside v2 are found', (t) => {
  const text = [mounts.tmpfs, mounts.unified, mounts.memory, mounts.cpu, mounts.systemd].join('\n');
  const found = parseHierarchies(text, '4:memory:/jail/1\n3:cpu,cpuacct:/\n2:name=systemd:/init.scope\n0::/\n');
  t.deepEqual(found, [
    { version: 2, mountPoint: '/sys/fs/cgroup/unified', controllers: [], initPath: '' },
    { version: 1, mountPoint: '/sys/fs/cgroup/memory', controllers: ['memory'], initPath: '/jail/1' },
    { version: 1, mountPoint: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'], initPath: '' },
    { version: 1, mountPoint: '/sys/fs/cgroup/systemd', controllers: ['name=systemd'], initPath: '' },
  ]);
  t.is(layoutOf(found), 'hybrid');
  t.is(layoutOf(found.slice(1)), 'legacy');
});

test('hidden, partial and repeated hierarchies are ignored', (t) => {
  const hidden = '40 30 0:40 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw';
  const part = '41 30 0:29 /jail /sys/fs/cgroup/part rw - cgroup cgroup rw,memory';
  const twice = '42 30 0:29 / /sys/fs/cgroup/memory2 rw - cgroup cgroup rw,memory';
  const found = parseHierarchies([mounts.unified, mounts.memory, hidden, part, twice].join('\n'), '4:memory:/\n0::/\n');
  t.is(found.length, 1);
  t.deepEqual(found[0]?.controllers, ['memory']);
});

test('other cgroup2 mounts and subtrees are ignored', (t) => {
  const elsewhere = [
    '50 25 0:27 / /run/cilium/cgroupv2 rw - cgroup2 none rw',
    '51 25 0:27 /kubepods/pod1 /var/lib/kubelet/pods/1/volumes/cgroup rw - cgroup2 cgroup2 rw',
    '52 31 0:27 /kubepods /sys/fs/cgroup/kubepods rw - cgroup2 cgroup2 rw',
    '53 25 0:27 / /sys/fs/cgroup2 rw - cgroup2 cgroup2 rw',
    '54 25 0:29 / /run/a\\040b rw - cgroup cgroup rw,memory',
  ];
  for (const before of [elsewhere, []]) {
    const found = parseHierarchies([...before, mounts.v2, ...elsewhere].join('\n'), '4:memory:/\n0::/\n');
    t.deepEqual(found, [{ version: 2, mountPoint: '/sys/fs/cgroup', controllers: [], initPath: '' }]);
  }
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, membership) => Array.isArray(parseHierarchies(text, membership))),
    { numRuns: 2000 },
  );
});

test('cgroup paths are normalized or refused', (t) => {
  t.is(checkCgroupPath('/kubepods//burstable/pod1-a_b.c:d@e/', 'f'), '/kubepods/burstable/pod1-a_b.c:d@e');
  t.is(checkCgroupPath('/', 'f'), '/');
  for (const path of [
    '',
    'a',
    '/..',
    '/a/../b',
    '/a/./b',
    '/a b',
    '/a\n',
    '/a;b',
    '/a\0',
    '/ä',
    `/${'a'.repeat(256)}`,
  ]) {
    t.is(t.throws(() => checkCgroupPath(path, 'f'), { instanceOf: CriError })?.code, StatusCode.INVALID_ARGUMENT, path);
  }
  const slice = t.throws(() => checkCgroupPath('kubepods-besteffort-pod1.slice', 'f'), { instanceOf: CriError });
  t.is(slice?.code, StatusCode.INVALID_ARGUMENT);
});

test('A cgroup path stays below the root', (t) => {
  for (const path of ['/a', '/a/b', '/kubepods.slice/x:y']) t.true(isCgroupPath(path), path);
  for (const path of ['', '/', 'a', '/a/', '//a', '/a//b', '/..', '/a/../..', '/.', '/a\n', '/a b'])
    t.false(isCgroupPath(path), path);
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.webPath(), fc.string({ unit: fc.constantFrom('/', '.', 'a') })),
      (text) => !isCgroupPath(text) || (text !== '/' && checkCgroupPath(text, 'f') === text),
    ),
    { numRuns: 2000 },
  );
});

test('accepted cgroup paths are safe in a shell', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.webPath(), fc.string({ unit: fc.constantFrom('/', '.', 'a', ' ', '\n') })),
      (text) => {
        try {
          return /^(\/(?!\.{1,2}(\/|$))[\w.:@+=,-]+)+$|^\/$/.test(checkCgroupPath(`/${text}`, 'f'));
        } catch (error) {
          return error instanceof CriError;
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.pass();
});
