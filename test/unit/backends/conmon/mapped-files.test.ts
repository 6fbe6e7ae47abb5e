import test from 'ava';
import { parseSharedMappings } from '../../../../src/backends/conmon/mapped-files.ts';

test('finds shared writable mappings of files', (t) => {
  const maps = `55d0c0a00000-55d0c0a02000 r--p 00000000 00:1b 2  /bin/app
7f0000000000-7f0000002000 rw-s 00000000 00:1b 34                         /data/a file (deleted)
7f0000002000-7f0000004000 -w-s 00001000 103:12345 7                      /disk
7f0000004000-7f0000006000 r--s 00000000 00:1b 35                         /read
7f0000006000-7f0000008000 rw-p 00000000 00:1b 36                         /private
7f0000008000-7f000000a000 rw-s 00000000 00:01 1026 /dev/zero (deleted)
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
`;
  t.deepEqual(parseSharedMappings(maps), [
    { device: 0x1b, path: '/data/a file (deleted)' },
    { device: 0x45 + 0x103 * 2 ** 8 + 0x123 * 2 ** 20, path: '/disk' },
    { device: 1, path: '/dev/zero (deleted)' },
  ]);
});
