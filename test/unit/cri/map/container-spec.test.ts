import test from 'ava';
import { ContainerConfig } from '../../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { containerSpec } from '../../../../src/cri/map/container-spec.ts';

type Partial = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;
type Context = NonNullable<NonNullable<Partial['linux']>['securityContext']>;
type Mount = NonNullable<Partial['mounts']>[number];

const parse = (partial: Partial = {}) =>
  containerSpec(ContainerConfig.create({ metadata: { name: 'c' }, image: { image: 'i' }, ...partial }));
const mount = (partial: Mount): Partial => ({ mounts: [{ containerPath: '/m', hostPath: '/h', ...partial }] });
const secured = (securityContext: Context): Partial => ({ linux: { securityContext } });
const CONTEXT = 'config.linux.security_context';
const env = (key: string, value: string | Buffer): Partial => ({ envs: [{ key, value: Buffer.from(value) }] });
const ids = [{ hostId: 1, containerId: 0, length: 1 }];

const BIG = 'x'.repeat(2 ** 20);
const LISTED = 'config.labels, annotations, metadata and image';

const refused: [field: string, partial: Partial, words: RegExp][] = [
  [LISTED, { labels: { a: BIG } }, /take 10485\d\d bytes, the maximum is 1048576; shorten/],
  [LISTED, { annotations: { [BIG]: '' } }, /shorten/],
  [LISTED, { metadata: { name: BIG } }, /shorten/],
  [LISTED, { image: { image: 'i', userSpecifiedImage: BIG } }, /shorten/],
  ['config', { args: Array.from({ length: 8 }, () => BIG) }, /takes? 8\d+ bytes, the maximum is 8388608; shorten/],
  ['config.metadata.name', { metadata: { name: '' } }, /must not be empty/],
  ['config.metadata.name', { metadata: { name: 'a\nb' } }, /line break/],
  ['config.image.image', { image: { image: '' } }, /must not be empty/],
  ['config.log_path', { logPath: 'a\nb' }, /line break/],
  ['config.command[1]', { command: ['a', 'b\0'] }, /NUL/],
  ['config.args[0]', { args: ['\0'] }, /NUL/],
  ['config.working_dir', { workingDir: 'w' }, /absolute/],
  ['config.envs[0].key', env('', 'x'), /must be a name without/],
  ['config.envs[0].key', env('A=B', 'x'), /must be a name without/],
  ['config.envs[0].key', env('A\0', 'x'), /NUL/],
  ['config.envs[0].value', env('A', 'x\0y'), /NUL/],
  ['config.envs[0].value', env('A', Buffer.from([0xff, 0xfe])), /not UTF-8.*base64/],
  ['config.stop_signal', { stopSignal: 99 as never }, /99 is not a signal/],
  ['config.CDI_devices[0].name', { CDIDevices: [{ name: 'x' }] }, /vendor\.com\/class=device/],
  ['config.devices[0].host_path', { devices: [{ hostPath: 'd' }] }, /absolute/],
  [
    'config.devices[0].permissions',
    { devices: [{ hostPath: '/d', containerPath: '/d', permissions: 'rwx' }] },
    /r, w and m/,
  ],
  ['config.mounts[0].container_path', mount({ containerPath: 'm' }), /absolute/],
  ['config.mounts[0].container_path', mount({ containerPath: '/' }), /must not be the root/],
  ['config.mounts[0].container_path', mount({ containerPath: '/x/..' }), /must not be the root/],
  ['config.mounts[0].container_path', mount({ containerPath: '//' }), /must not be the root/],
  ['config.mounts[0].host_path', mount({ hostPath: '' }), /absolute/],
  ['config.mounts[0].host_path', mount({ image: { image: 'i' }, readonly: true }), /must be empty when image is set/],
  ['config.mounts[0].readonly', mount({ image: { image: 'i' }, hostPath: '' }), /must be true/],
  [
    'config.mounts[0].propagation',
    mount({ image: { image: 'i' }, hostPath: '', readonly: true, propagation: 2 }),
    /must not be BIDIRECTIONAL/,
  ],
  ['config.mounts[0].propagation', mount({ propagation: 3 as never }), /not a MountPropagation/],
  ['config.mounts[0].recursive_read_only', mount({ recursiveReadOnly: true }), /requires readonly/],
  [
    'config.mounts[0].recursive_read_only',
    mount({ recursiveReadOnly: true, readonly: true, propagation: 1 }),
    /requires PROPAGATION_PRIVATE/,
  ],
  ['config.mounts[0].mount_options', mount({ mountOptions: ['suid,exec'] }), /noexec, nodev or nosuid/],
  ['config.mounts[0].gidMappings', mount({ uidMappings: ids }), /must not be empty/],
  [
    'config.mounts[0].uidMappings[0].length',
    mount({ uidMappings: [{ hostId: 1 }], gidMappings: ids }),
    /must not be 0/,
  ],
  [`${CONTEXT}.run_as_group`, secured({ runAsGroup: { value: 1n } }), /requires run_as_user/],
  [`${CONTEXT}.run_as_user`, secured({ runAsUser: { value: -1n } }), /is not an id/],
  [`${CONTEXT}.supplemental_groups`, secured({ supplementalGroups: [2n ** 32n] }), /is not an id/],
  [`${CONTEXT}.supplemental_groups_policy`, secured({ supplementalGroupsPolicy: 7 as never }), /Merge or Strict/],
  [
    `${CONTEXT}.capabilities.add_capabilities`,
    secured({ capabilities: { addCapabilities: ['FLY'] } }),
    /"FLY" is not a capability/,
  ],
  [`${CONTEXT}.seccomp.localhost_ref`, secured({ seccomp: { profileType: 2, localhostRef: 'p' } }), /absolute/],
  [`${CONTEXT}.seccomp.profile_type`, secured({ seccomp: { profileType: 7 as never } }), /must be RuntimeDefault/],
  [`${CONTEXT}.seccomp_profile_path`, secured({ seccompProfilePath: 'mine' }), /must be runtime\/default/],
  [`${CONTEXT}.masked_paths[0]`, secured({ maskedPaths: ['proc'] }), /absolute/],
  [`${CONTEXT}.selinux_options.type`, secured({ selinuxOptions: { type: 'a\nb' } }), /line break/],
];

for (const [index, [field, partial, words]] of refused.entries()) {
  test(`a container is refused for ${field} (${index})`, (t) => {
    const error = t.throws(() => parse(partial), { instanceOf: CriError, message: words });
    t.is(error.code, StatusCode.INVALID_ARGUMENT);
    t.true(error.message.startsWith(`${field}: `), error.message);
  });
}

test("absent fields have CRI's defaults", (t) => {
  t.deepEqual(parse(), {
    metadata: { name: 'c', attempt: 0 },
    labels: {},
    annotations: {},
    image: { name: 'i', asked: '' },
    command: [],
    args: [],
    env: [],
    workingDir: '',
    mounts: [],
    devices: [],
    cdiDevices: [],
    logPath: '',
    stdin: false,
    stdinOnce: false,
    tty: false,
    pid: 'pod',
    security: {
      privileged: false,
      readonlyRootfs: false,
      noNewPrivileges: false,
      user: { supplementalGroups: [], mergeImageGroups: true },
      capabilities: { add: [], addAll: false, drop: [], dropAll: false, ambient: [] },
      seccomp: { type: 'unconfined' },
      apparmor: { type: 'runtime-default' },
      maskedPaths: [],
      readonlyPaths: [],
    },
    resources: {},
  });
});

test('mounts of host paths and images are parsed', (t) => {
  const of = (partial: Mount) => parse(mount(partial)).mounts[0];
  const plain = { containerPath: '/m', source: { hostPath: '/h' }, restrictions: [] };
  t.deepEqual(of({}), { ...plain, access: 'rw', propagation: 'rprivate' });
  t.deepEqual(of({ readonly: true, propagation: 1 }), { ...plain, access: 'ro', propagation: 'rslave' });
  t.is(of({ readonly: true, recursiveReadOnly: true })?.access, 'rro');
  t.deepEqual(of({ imageSubPath: 'sub' })?.source, { hostPath: '/h' }, 'the kubelet sends it with other volumes');
  const image = { image: { image: 'i' }, hostPath: '', readonly: true, imageSubPath: 'sub' };
  t.deepEqual(of(image)?.source, { image: 'i', subPath: 'sub' });
  t.deepEqual(of({ uidMappings: ids, gidMappings: ids })?.mappings?.uids, [{ hostId: 1, containerId: 0, size: 1 }]);
});

test('users, capabilities and profiles are parsed', (t) => {
  const of = (context: Context) => parse(secured(context)).security;
  const user = { runAsUser: { value: 33n }, runAsUsername: 'www', runAsGroup: { value: 7n }, supplementalGroups: [9n] };
  t.deepEqual(of({ ...user, supplementalGroupsPolicy: 1 }).user, {
    user: { uid: 33 },
    gid: 7,
    supplementalGroups: [9],
    mergeImageGroups: false,
  });
  t.deepEqual(of({ runAsUsername: 'www' }).user.user, { name: 'www' });
  t.deepEqual(
    of({ capabilities: { addCapabilities: ['all', 'CAP_chown'], dropCapabilities: ['KILL'] } }).capabilities,
    {
      add: ['CHOWN'],
      addAll: true,
      drop: ['KILL'],
      dropAll: false,
      ambient: [],
    },
  );
  t.deepEqual(of({ seccompProfilePath: 'localhost//p' }).seccomp, { type: 'file', path: '/p' });
  t.deepEqual(of({ privileged: true, seccomp: { profileType: 0 } }).seccomp, { type: 'unconfined' });
  t.is(of({ selinuxOptions: {} }).selinux, undefined);
  t.like(of({ selinuxOptions: { type: 't' } }).selinux, { type: 't', user: '' });
});
