import test from 'ava';
import fc from 'fast-check';
import { Mount, NamespaceMode, NamespaceOption } from '../../../../api/gen/cri.ts';
import type { IDMapping } from '../../../../api/gen/cri.ts';
import { mountMappings } from '../../../../src/core/lifecycle/oci/idmapped-mounts.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import type { OciIdMapping } from '../../../../src/core/model/oci-runtime.ts';
import { mountSpec } from '../../../../src/cri/map/mounts.ts';
import { containerNamespaces, podNamespaces } from '../../../../src/cri/map/namespaces.ts';

const uint32 = fc.oneof(fc.constantFrom(0, 1, 65_536, 4_294_967_295), fc.integer({ min: 0, max: 4_294_967_295 }));
const mappings: fc.Arbitrary<IDMapping[]> = fc.array(
  fc.record({ hostId: uint32, containerId: fc.oneof(fc.constant(0), uint32), length: uint32 }),
  { maxLength: 3 },
);

const mountOf = (partial: Parameters<typeof Mount.create>[0]) =>
  mountSpec(Mount.create({ containerPath: '/m', hostPath: '/h', ...partial }), 0);

/** The mapped id; undefined for an unmapped one. */
function lookUp(id: number, list: readonly OciIdMapping[]): number | undefined {
  const found = list.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found === undefined ? undefined : found.hostID + id - found.containerID;
}

test('a user namespace is parsed exactly or refused', (t) => {
  const modes = fc.constantFrom(NamespaceMode.POD, NamespaceMode.CONTAINER, NamespaceMode.NODE, NamespaceMode.TARGET);
  fc.assert(
    fc.property(modes, mappings, mappings, fc.boolean(), (mode, uids, other, same) => {
      const gids = same ? uids : other;
      try {
        const range = podNamespaces(NamespaceOption.create({ usernsOptions: { mode, uids, gids } })).user;
        if (mode === NamespaceMode.NODE) {
          t.is(range, undefined);
          return;
        }
        t.is(mode, NamespaceMode.POD);
        t.deepEqual(uids, [{ containerId: 0, hostId: range!.hostId, length: range!.size }]);
        t.deepEqual(gids, uids);
        t.true(range!.size > 0 && range!.hostId + range!.size <= 4_294_967_295);
      } catch (error) {
        if (!(error instanceof CriError)) throw error;
        t.is(error.code, StatusCode.INVALID_ARGUMENT);
        t.regex(error.message, /^config\.linux\.security_context\.namespace_options\.userns_options\./);
      }
    }),
  );
});

test('a mount has the requested id mappings', (t) => {
  const one = fc.record({ hostId: uint32, containerId: uint32, length: fc.integer({ min: 2, max: 100_000 }) });
  fc.assert(
    fc.property(one, fc.nat(100_000), (mapping, offset) => {
      const mount = mountOf({ uidMappings: [mapping], gidMappings: [mapping] });
      const { uidMappings = [], gidMappings } = mountMappings(mount, 'm', true);
      t.deepEqual(uidMappings, gidMappings);
      const asked = { containerID: mapping.containerId, hostID: mapping.hostId, size: mapping.length };
      t.notDeepEqual(uidMappings, [asked]);
      for (const id of [asked.containerID, asked.containerID + offset, asked.containerID + asked.size]) {
        t.is(lookUp(id, uidMappings), lookUp(id, [asked]));
      }
    }),
  );
  t.deepEqual(mountMappings(mountOf({}), 'm', false), {});
});

test('POD is the default mode', (t) => {
  const all = { network: 'pod', ipc: 'pod', pid: 'pod' } as const;
  t.deepEqual(podNamespaces(undefined), all);
  t.deepEqual(podNamespaces(NamespaceOption.create()), all);
  t.deepEqual(containerNamespaces(undefined), { pid: 'pod', userNamespace: undefined });
});

test('namespace modes of pods and containers are parsed', (t) => {
  const { NODE, CONTAINER, TARGET } = NamespaceMode;
  t.deepEqual(podNamespaces(NamespaceOption.create({ network: NODE, ipc: NODE, pid: CONTAINER })), {
    network: 'node',
    ipc: 'node',
    pid: 'container',
  });
  t.deepEqual(containerNamespaces(NamespaceOption.create({ pid: TARGET, targetId: 'c' })).pid, { target: 'c' });
  t.is(containerNamespaces(NamespaceOption.create({ usernsOptions: { mode: NODE } })).userNamespace, 'node');
  const refused: [Parameters<typeof NamespaceOption.create>[0], RegExp][] = [
    [{ network: CONTAINER }, /namespace_options\.network: must be POD or NODE/],
    [{ ipc: TARGET }, /namespace_options\.ipc: must be POD or NODE/],
    [{ pid: TARGET }, /namespace_options\.pid: TARGET is for containers/],
    [{ pid: 9 as never }, /namespace_options\.pid: must be/],
  ];
  for (const [options, message] of refused)
    t.throws(() => podNamespaces(NamespaceOption.create(options)), { instanceOf: CriError, message });
  t.throws(() => containerNamespaces(NamespaceOption.create({ pid: TARGET })), { message: /target_id: is required/ });
});

test("a user namespace excludes the node's other namespaces", (t) => {
  const ids = [{ hostId: 65_536, containerId: 0, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  for (const key of ['pid', 'ipc'] as const) {
    t.throws(() => podNamespaces(NamespaceOption.create({ usernsOptions, [key]: NamespaceMode.NODE })), {
      message: new RegExp(`namespace_options\\.${key}: must not be NODE`),
    });
  }
});
