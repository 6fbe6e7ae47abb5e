import test from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { CommandError } from '../../../../src/host/processes/run.ts';
import { errorFrom, errorOfSuccess } from '../../../../src/integrations/zfs/errors/from-outcome.ts';
import type { ErrorKind } from '../../../../src/integrations/zfs/errors/zfs-error.ts';

/** What OpenZFS prints. */
const WORDS: readonly [stderr: string, kind: ErrorKind][] = [
  ["cannot open 'p/a': dataset does not exist", 'notFound'],
  ["cannot create 'p/a': parent does not exist", 'notFound'],
  ["cannot create 'p/a': no such pool 'p'", 'notFound'],
  ['Cannot get properties of p/a: no such pool available.', 'notFound'],
  ['could not find any snapshots to destroy; check snapshot names.', 'notFound'],
  ["cannot create 'p/a': dataset already exists", 'alreadyExists'],
  ["cannot receive new filesystem stream: destination 'p/a' exists\nmust specify -F to overwrite it", 'diverged'],
  ["cannot unmount '/p/a': pool or dataset is busy", 'busy'],
  ["cannot destroy 'p/a': dataset is busy", 'busy'],
  ['cannot destroy snapshot p/a: dataset is busy', 'busy'],
  ["cannot destroy 'p/a': filesystem has children\nuse '-r' to destroy the following datasets:\np/a@1", 'inUse'],
  ["cannot destroy 'p/a': filesystem has dependent clones\nuse '-R' to destroy the following:\np/c", 'inUse'],
  ["cannot rollback to 'p/a': clones of previous snapshots exist", 'inUse'],
  ['Permission denied the ZFS utilities must be run as root.', 'permission'],
  ["cannot create 'p/a': permission denied", 'permission'],
  ["cannot create 'p/a': out of space", 'full'],
  ['cannot create snapshots : out of space', 'full'],
  ["cannot set property for 'p/a': size is greater than available space", 'full'],
  ["cannot set property for 'p/a': size is less than current used or reserved space", 'quota'],
  ['cannot receive new filesystem stream: destination p/a space quota exceeded.', 'quota'],
  ["cannot create 'p/a': pool I/O is currently suspended", 'suspended'],
  [
    "cannot open 'p/a': pool I/O is currently suspended\nusage:\n\tsnapshot [-r]\nencryption key not loaded",
    'suspended',
  ],
  ["cannot open 'p': pool is unavailable", 'poolUnavailable'],
  ["cannot create 'p/a': pool is read-only", 'readOnly'],
  ["cannot set property for 'p/a': dataset is read only", 'readOnly'],
  ["cannot create 'p/a': encryption root's key is not loaded or provided", 'keyNotLoaded'],
  ["cannot mount 'p/a': encryption key not loaded", 'keyNotLoaded'],
  ['cannot send p/a: source key must be loaded', 'keyNotLoaded'],
  ["cannot mount 'p/a': filesystem already mounted", 'mounted'],
  ["cannot unmount 'p/a': not currently mounted", 'notMounted'],
  ["cannot rollback to 'p/a': more recent snapshots or bookmarks exist", 'diverged'],
  ['cannot receive incremental stream: destination p/a has been modified\nsince most recent snapshot', 'diverged'],
  ["unrecognized command 'frobnicate'\nusage: zfs command args ...\npermission denied", 'unsupported'],
  ["invalid option 'j'\nusage:\n\tget", 'unsupported'],
  ["cannot create 'p/a': pool must be upgraded to set this property or value", 'unsupported'],
  ["cannot set property for 'p/a': 'recordsize' must be power of 2 from 512B to 128K", 'unsupported'],
  ['the loaded zfs module does not support this operation. A reboot may be required', 'unsupported'],
  ["cannot promote 'p/a': not a cloned filesystem", 'unsupported'],
  ["The ZFS modules are not loaded.\nTry running 'modprobe zfs' as root to load them.", 'noZfs'],
  ["/dev/zfs and /proc/self/mounts are required.\nTry running 'udevadm trigger'", 'noZfs'],
  ["cannot set property for 'p/a': invalid property 'nix'", 'invalid'],
  ["cannot set property for 'p/a': bad numeric value 'abc'", 'invalid'],
  ['cannot receive: invalid stream (bad magic number)', 'badStream'],
  ['cannot receive: failed to read from stream', 'badStream'],
  ["cannot open 'p/a': I/O error", 'io'],
  ['internal error: something else', 'failed'],
];

const attempt = { what: 'zfs test', object: 'p/a' };

function failed(stderr: string): CommandError {
  return new CommandError('zfs', 'zfs exited with code 1', { exitCode: 1, stdout: '', stderr: `${stderr}\n` });
}

test('each refusal has its kind, its dataset and a remedy', (t) => {
  for (const [words, kind] of WORDS) {
    const error = errorFrom(attempt, failed(words));
    t.is(error.kind, kind, words);
    t.regex(error.object, /^p(\/a)?$/, words);
    t.true(error.message.startsWith(`zfs test ${error.object}: `), error.message);
    t.notRegex(error.message, /\n|usage/, words);
    if (
      kind !== 'failed' &&
      kind !== 'invalid' &&
      kind !== 'badStream' &&
      kind !== 'mounted' &&
      kind !== 'notMounted'
    ) {
      t.regex(error.message, /; .*("z|zfs|modprobe|mount|quota|roll)/, error.message);
    }
  }
});

test('the name of a dataset decides nothing', (t) => {
  for (const name of ['p/out of space', 'p/key not loaded', 'p/pool is busy', 'p/does not exist']) {
    const said = `cannot create '${name}': dataset already exists`;
    t.is(errorFrom({ what: 'zfs create', object: name }, failed(said)).kind, 'alreadyExists');
    const unquoted = `cannot destroy snapshot ${name}@1: snapshot is cloned`;
    t.is(errorFrom({ what: 'zfs destroy', object: `${name}@1` }, failed(unquoted)).kind, 'inUse');
  }
});

test('the error names the child that is in the way', (t) => {
  const error = errorFrom(attempt, failed("cannot destroy 'p/a/child': dataset is busy"));
  t.is(error.object, 'p/a/child');
  t.is(error.code, StatusCode.UNAVAILABLE);
});

test('a program that is missing names its package', (t) => {
  const cause = Object.assign(new Error('exec'), { code: 'ENOENT' });
  const missing = new CommandError('zfs', 'cannot run zfs: exec', { stdout: '', stderr: '' }, { cause });
  t.like(errorFrom({ what: 'zfs get', object: '' }, missing), {
    kind: 'noZfs',
    message: 'zfs get: zfs not found; install zfsutils-linux, and load the kernel modules with "modprobe zfs"',
  });
});

test('a dataset that could not be mounted is no success', (t) => {
  const said = "cannot mount '/p/a': encryption key not loaded\nfilesystem successfully created, but not mounted\n";
  t.like(errorOfSuccess(attempt, said), { kind: 'keyNotLoaded', object: 'p/a', name: 'ZfsError' });
  t.is(errorOfSuccess(attempt, ''), undefined);
  t.is(errorOfSuccess(attempt, 'warning: something\n'), undefined);
});
