import test from 'ava';
import { rootfsLimits } from '../../../../../src/core/lifecycle/containers/rootfs-limits.ts';
import { StatusCode } from '../../../../../src/core/model/errors.ts';
import type { RootfsLimits } from '../../../../../src/core/model/rootfs.ts';

const QUOTA = 'proxmox-lxcri.io/rootfs-quota';
const RESERVATION = 'proxmox-lxcri.io/rootfs-reservation';
const zfs = { name: 'zfs:tank/a', enforcesLimits: true };
const overlayfs = { name: 'overlayfs', enforcesLimits: false };
const of = (pod: Record<string, string>, container: Record<string, string> = {}) => ({ pod, container, name: 'db' });

const by = (defaults: RootfsLimits, largest: RootfsLimits = {}) => ({ defaults, largest });

test("a container's annotation wins, then the pod's", (t) => {
  const defaults = by({ quotaBytes: 7n, reservationBytes: 0n });
  t.deepEqual(rootfsLimits(of({}), defaults, zfs), { quotaBytes: 7n });
  t.deepEqual(rootfsLimits(of({ [QUOTA]: '1, db=2' }), defaults, zfs), { quotaBytes: 2n });
  t.deepEqual(rootfsLimits(of({ [QUOTA]: 'db=2' }, { [QUOTA]: '3' }), defaults, zfs), { quotaBytes: 3n });
  t.deepEqual(rootfsLimits(of({ [QUOTA]: 'web=2' }), defaults, zfs), { quotaBytes: 7n });
  t.deepEqual(rootfsLimits(of({ [QUOTA]: '0', [RESERVATION]: '5' }), defaults, zfs), { reservationBytes: 5n });
});

test('a limit that the store cannot enforce is refused', (t) => {
  t.deepEqual(rootfsLimits(of({ [QUOTA]: '0' }), by({ quotaBytes: 7n }, { quotaBytes: 7n }), overlayfs), {});
  t.throws(() => rootfsLimits(of({ [RESERVATION]: '1Gi' }), by({}), overlayfs), {
    code: StatusCode.FAILED_PRECONDITION,
    message: /^config\.annotations\["proxmox-lxcri\.io\/rootfs-reservation"\]: .* store overlayfs .*rootfs\.store/,
  });
});

test('a reservation is at most the quota', (t) => {
  t.throws(() => rootfsLimits(of({ [RESERVATION]: '8' }), by({ quotaBytes: 7n }), zfs), {
    code: StatusCode.INVALID_ARGUMENT,
    message: /rootfs-reservation"\]: reserves 8 bytes, more than the quota of 7/,
  });
});

test('an annotation asks for no more than the largest', (t) => {
  const policy = by({ quotaBytes: 7n }, { quotaBytes: 8n, reservationBytes: 0n });
  t.deepEqual(rootfsLimits(of({ [QUOTA]: '8', [RESERVATION]: '0' }), policy, zfs), { quotaBytes: 8n });
  for (const [annotations, message] of [
    [{ [QUOTA]: '9' }, /rootfs-quota"\]: asks for 9 bytes; this node allows at most 8 bytes \(rootfs\.max_quota_bytes/],
    [{ [QUOTA]: 'db=0' }, /rootfs-quota"\]: asks for no limit; .* at most 8 bytes/],
    [{ [RESERVATION]: '1' }, /rootfs-reservation"\]: .* at most 0 bytes \(rootfs\.max_reservation_bytes/],
  ] as const) {
    t.throws(() => rootfsLimits(of(annotations), policy, zfs), { code: StatusCode.INVALID_ARGUMENT, message });
    t.throws(() => rootfsLimits(of({}, annotations), policy, zfs), { code: StatusCode.INVALID_ARGUMENT, message });
  }
});
