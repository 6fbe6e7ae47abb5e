import test from 'ava';
import { ContainerConfig } from '../../../../api/gen/cri.ts';
import { HostFiles } from '../../../../src/host/platform/host-files.ts';
import { applyEdits } from '../../../../src/core/lifecycle/oci/apply-edits.ts';
import { cdiDeviceNames } from '../../../../src/cri/map/cdi-names.ts';
import type { ContainerEdits, DeviceNodeEdit } from '../../../../src/core/model/container-devices.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import type { OciSpec } from '../../../../src/core/model/oci-runtime.ts';

const spec = (uid = 0): OciSpec => ({
  ociVersion: '1.0.2',
  root: { path: '/r', readonly: false },
  process: {
    terminal: false,
    user: { uid, gid: 0, additionalGids: [7] },
    args: ['x'],
    env: ['PATH=/bin', 'A=1'],
    cwd: '/',
    noNewPrivileges: false,
  },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc', options: [] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [] },
    { destination: '/data', type: 'bind', source: '/x', options: [] },
    { destination: '/etc/hosts', type: 'bind', source: '/y', options: [] },
    { destination: '/a/b/c/d', type: 'bind', source: '/z', options: [] },
  ],
  linux: { namespaces: [], cgroupsPath: '/c', resources: { devices: [{ allow: false, access: 'rwm' }] } },
});
const edits = (partial: Partial<ContainerEdits>): ContainerEdits => ({
  of: 'v/c=d',
  env: [],
  deviceNodes: [],
  mounts: [],
  hooks: [],
  additionalGids: [],
  unsupported: [],
  ...partial,
});
const node = (partial: Partial<DeviceNodeEdit>): DeviceNodeEdit => ({
  path: '/dev/x',
  hostPath: undefined,
  type: undefined,
  major: undefined,
  minor: undefined,
  fileMode: undefined,
  permissions: undefined,
  uid: undefined,
  gid: undefined,
  ...partial,
});
const same = (path: string) => Promise.resolve(path);

const files = new HostFiles();

test('CDI devices come from the field, then annotations', (t) => {
  const names = (config: Parameters<typeof ContainerConfig.create>[0]) =>
    cdiDeviceNames(ContainerConfig.create(config));
  t.deepEqual(names({}), []);
  t.deepEqual(
    names({
      CDIDevices: [{ name: 'v.com/c=1' }, { name: 'v.com/c=0' }],
      annotations: { 'cdi.k8s.io/plugin': 'v.com/c=0, other/x=a:b', 'other.io/x': 'nothing' },
    }),
    ['v.com/c=1', 'v.com/c=0', 'other/x=a:b'],
  );
  for (const name of ['', 'c=1', 'v.com/c', 'v.com/c=', 'v.com/c=-', '../c=1', 'v.com/c=1=2', 'v.com/c=all of it']) {
    const error = t.throws(() => names({ CDIDevices: [{ name }] }), { instanceOf: CriError }, name);
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.regex(error?.message ?? '', /^config\.CDI_devices\[0\]\.name: .*vendor\.com\/class=device/);
  }
  t.throws(() => names({ annotations: { 'cdi.k8s.io/a': 'v.com/c=0,' } }), {
    message: /annotations\["cdi\.k8s\.io\/a"\]/,
  });
});

test('variables, groups and hooks of edits are added', async (t) => {
  const before = spec();
  const hook = { hookName: 'poststop' as const, path: '/bin/true' };
  const after = await applyEdits(
    files,
    before,
    [edits({ env: ['A=2', 'B=3'], additionalGids: [44, 0, 7], hooks: [hook] }), edits({ env: ['B=4'], hooks: [hook] })],
    same,
  );
  t.deepEqual(before, spec(), 'the original stays');
  t.deepEqual(after.process.env, ['PATH=/bin', 'A=2', 'B=4']);
  t.deepEqual(after.process.user.additionalGids, [7, 44]);
  t.deepEqual(after.hooks, { poststop: [{ path: '/bin/true' }, { path: '/bin/true' }] });
});

test('a device gets missing properties from the node', async (t) => {
  const { linux } = await applyEdits(
    files,
    spec(1000),
    [
      edits({
        deviceNodes: [
          node({ path: '/dev/null2', hostPath: '/dev/null', permissions: 'r' }),
          node({ path: '/dev/made', type: 'b', major: 7, minor: 9, fileMode: 0o640, uid: 0, gid: 6 }),
          node({ path: '/dev/pipe', type: 'p' }),
          node({ path: '/dev/null2', hostPath: '/dev/zero' }),
        ],
      }),
    ],
    same,
  );
  t.deepEqual(linux.devices, [
    { path: '/dev/made', type: 'b', major: 7, minor: 9, fileMode: 0o640, uid: 0, gid: 6 },
    { path: '/dev/pipe', type: 'p', major: 0, minor: 0, uid: 1000 },
    { path: '/dev/null2', type: 'c', major: 1, minor: 5, fileMode: 0o666, uid: 1000, gid: 0 },
  ]);
  t.deepEqual(linux.resources.devices?.slice(1), [
    { allow: true, type: 'c', major: 1, minor: 3, access: 'r' },
    { allow: true, type: 'b', major: 7, minor: 9, access: 'rwm' },
    { allow: true, type: 'c', major: 1, minor: 5, access: 'rwm' },
  ]);
});

test('an impossible edit is refused, naming the device', async (t) => {
  const refused = async (partial: Partial<ContainerEdits>, message: RegExp, code: StatusCode) => {
    const error = await t.throwsAsync(applyEdits(files, spec(), [edits(partial)], same), { instanceOf: CriError });
    t.is(error?.code, code);
    t.regex(error?.message ?? '', message);
  };
  const { FAILED_PRECONDITION, UNIMPLEMENTED } = StatusCode;
  await refused({ unsupported: ['intelRdt'] }, /CDI device v\/c=d: intelRdt is not implemented/, UNIMPLEMENTED);
  await refused(
    { deviceNodes: [node({ path: '/dev/none-such' })] },
    /v\/c=d: \/dev\/none-such does not exist/,
    FAILED_PRECONDITION,
  );
  await refused({ deviceNodes: [node({ hostPath: '/etc/passwd' })] }, /is not a device/, FAILED_PRECONDITION);
  await refused(
    { deviceNodes: [node({ hostPath: '/dev/null', type: 'b' })] },
    /is of type "c", not "b"/,
    FAILED_PRECONDITION,
  );
  const mount = { hostPath: '/none/such', containerPath: '/x', type: undefined, options: [] };
  await refused({ mounts: [mount] }, /v\/c=d: cannot mount \/none\/such/, FAILED_PRECONDITION);
  await refused(
    { mounts: [{ ...mount, hostPath: '/etc', containerPath: '/' }] },
    /root directory/,
    FAILED_PRECONDITION,
  );
});

test('mounts are sorted by depth; duplicates are replaced', async (t) => {
  const mount = (containerPath: string, options: string[] = [], type?: string) => {
    return { hostPath: '/etc', containerPath, type, options };
  };
  const resolve = (path: string) => Promise.resolve(path === '/link' ? '/etc/hosts' : path);
  const { mounts } = await applyEdits(
    files,
    spec(),
    [
      edits({
        mounts: [
          mount('/opt', ['ro', 'bind']),
          mount('/link', ['ro']),
          mount('/a/b/x'),
          mount('/t', ['size=1'], 'tmpfs'),
        ],
      }),
    ],
    resolve,
  );
  t.deepEqual(
    mounts.map(({ destination, source, options }) => [destination, source, ...options].join(' ')),
    [
      '/proc proc',
      '/sys/fs/cgroup cgroup',
      '/data /x',
      '/opt /etc ro bind',
      '/t /etc size=1',
      '/etc/hosts /etc rbind ro',
      '/a/b/x /etc rbind',
      '/a/b/c/d /z',
    ],
  );
});
