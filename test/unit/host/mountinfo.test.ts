import test from 'ava';
import fc from 'fast-check';
import { mountOf } from '../../../src/host/mounts/mountinfo.ts';

const text = [
  '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
  '30 22 0:26 / /srv/data rw,nosuid,noexec master:4 - ext4 /dev/sdb rw',
  '31 22 0:27 / /srv/data rw,nodev - tmpfs over rw',
  '32 31 0:28 /a\\040b /srv/data/with\\040space rw shared:9 master:2 - tmpfs x rw',
  'rubbish',
].join('\n');

test('a path belongs to its last longest mount', (t) => {
  t.deepEqual(mountOf(text, '/srv/database'), {
    mountPoint: '/',
    root: '/',
    type: 'ext4',
    restrictions: [],
    shared: true,
    slave: false,
  });
  t.deepEqual(mountOf(text, '/srv/data/x'), {
    mountPoint: '/srv/data',
    root: '/',
    type: 'tmpfs',
    restrictions: ['nodev'],
    shared: false,
    slave: false,
  });
  t.like(mountOf(text, '/srv/data/with space'), {
    mountPoint: '/srv/data/with space',
    root: '/a b',
    shared: true,
    slave: true,
  });
});

test('any text is parsed without error', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (info, path) => mountOf(info, `/${path}`).mountPoint.startsWith('/')),
  );
  t.pass();
});
