import { numberOf, textOf, type Call } from '../api/method.ts';
import { badParameters, fault } from '../http/api-error.ts';
import { parsePropertyString } from '../api/params/property-string.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { sourceOf, volumesOf } from './disks.ts';
import { checkLock, loadGuest } from '../config/guest.ts';
import { endGuest, shutGuest, startGuest } from './lifecycle.ts';

function localBinds(call: Call, ref: GuestRef): string[] {
  const { values } = loadGuest(call.state, ref).current;
  return Object.keys(values).filter((key) => {
    if (ref.kind.type !== 'lxc' || !ref.kind.isVolume(key)) return false;
    const disk = parsePropertyString(ref.kind.volumeFormat(key), values[key]!);
    return sourceOf(ref.kind, disk).kind === 'bind' && disk['shared'] !== '1';
  });
}

/** What GET migrate answers: where the guest may go, and what holds it here. */
export async function migrationPreconditions(call: Call, ref: GuestRef): Promise<Record<string, unknown>> {
  const { state } = call;
  const config = loadGuest(state, ref);
  const running = state.runtime.running(ref) === undefined ? 0 : 1;
  const others = state.nodes.filter((node) => node !== ref.node);
  if (ref.kind.type === 'lxc') return { running, 'allowed-nodes': others };
  return {
    running,
    allowed_nodes: others,
    not_allowed_nodes: {},
    local_disks: await Promise.all(
      volumesOf(ref.kind, config).map(async ({ volid }) => ({
        cdrom: 0,
        volid,
        size: (await state.volumes.stat(volid))?.size ?? 0,
        is_unused: 0,
      })),
    ),
    local_resources: [],
    'mapped-resources': [],
    'mapped-resource-info': {},
    ...(state.nine ? { 'has-dbus-vmstate': 0 } : {}),
  };
}

/**
 * Migrates a guest to another node of the cluster. The storages of all nodes are one directory here, so only the
 * configuration moves.
 * @returns the task's UPID
 * @throws ApiError
 */
export function migrateGuest(call: Call, ref: GuestRef): string {
  const { state, node } = call;
  const { kind, vmid } = ref;
  const target = textOf(call, 'target');
  if (target === node) throw badParameters({ target: 'target is local node.' });
  if (!state.nodes.includes(target)) throw fault(`no such cluster node '${target}'`);
  checkLock(ref, loadGuest(state, ref));
  const running = state.runtime.running(ref) !== undefined;
  const restart = numberOf(call, 'restart') === 1;
  if (running && kind.type === 'lxc' && !restart)
    throw fault("can't migrate running container without --online or --restart");
  if (running && kind.type === 'qemu' && numberOf(call, 'online') === 0)
    throw fault("can't migrate running VM without --online");
  const type = kind.type === 'lxc' ? 'vzmigrate' : 'qmigrate';
  return call.fork(type, String(vmid), (worker) =>
    state.locked(
      kind,
      vmid,
      async () => {
        const [bind] = localBinds(call, ref);
        if (bind !== undefined) throw fault(`migration aborted: cannot migrate local bind mount point '${bind}'`);
        worker.log(`starting migration of ${kind.label} ${vmid} to node '${target}' (127.0.0.1)`);
        const moved = { ...ref, node: target };
        if (running && kind.type === 'lxc') {
          worker.log(`shutdown CT ${vmid}`);
          await shutGuest(state, ref, { timeout: Number(call.params['timeout'] ?? 180), force: false }, worker);
        } else if (running) await endGuest(state, ref);
        await state.pause(2000);
        state.guests.move(ref, target);
        await state.runtime.forget(ref);
        if (running && kind.type === 'lxc') worker.log('start container on target node');
        if (running) await startGuest(state, moved, loadGuest(state, moved), worker.log);
        worker.log('migration finished successfully');
      },
      worker.signal,
    ),
  );
}
