import type { Call } from '../api/method.ts';
import { fault, messageOf } from '../http/api-error.ts';
import { resourceOf } from '../ha/resource.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';
import type { GuestConfig } from '../config/config-text.ts';
import { volumesOf } from './disks.ts';
import { checkLock, loadGuest } from '../config/guest.ts';

function check({ state, params }: Call, ref: GuestRef, config: GuestConfig): void {
  const { kind, vmid } = ref;
  if (config.current.values['protection'] === '1')
    throw fault(`can't remove ${kind.label} ${vmid} - protection mode enabled`);
  checkLock(ref, config);
  if (params['purge'] !== 1 && state.store.ha[resourceOf(ref)] !== undefined) {
    throw fault(`unable to remove ${kind.label} ${vmid} - used in HA resources and purge parameter not set.`);
  }
  if (state.runtime.running(ref) === undefined || (kind.type === 'lxc' && params['force'] === 1)) return;
  throw fault(
    kind.type === 'lxc'
      ? `unable to destroy CT ${vmid} - container is running`
      : `VM ${vmid} is running - destroy failed`,
  );
}

async function freeOfContainer(
  { volumes }: ClusterState,
  vmid: number,
  volids: readonly string[],
  { log }: Worker,
): Promise<void> {
  for (const volid of volids) {
    volumes.config(volid.split(':')[0]!);
    if (volumes.owner(volid) === vmid) await volumes.free(volid);
    else log(`ignore deletion of '${volid}', CT ${vmid} isn't the owner!`);
  }
}

/** Frees a machine's disks; one that cannot be freed is left behind. */
async function freeOfMachine(
  { volumes }: ClusterState,
  vmid: number,
  volids: readonly string[],
  { warn }: Worker,
): Promise<void> {
  const own = volids.filter((volid) => volumes.owner(volid) === vmid);
  for (const volid of own) {
    const used = await volumes.isBaseInUse(volid).catch(() => false);
    if (used) throw fault(`base volume '${volid}' is still in use by linked cloned`);
  }
  for (const volid of own) {
    await volumes.free(volid).catch((error: unknown) => {
      warn(`Could not remove disk '${volid}', check manually: ${messageOf(error)}`);
    });
  }
}

async function freeDisks(
  { state, params }: Call,
  { kind, vmid }: GuestRef,
  config: GuestConfig,
  worker: Worker,
): Promise<void> {
  const unused = Object.entries(config.current.values).filter(([key]) => /^unused\d+$/.test(key));
  const volids = [...volumesOf(kind, config).map(({ volid }) => volid), ...unused.map(([, volid]) => volid)];
  await (kind.type === 'lxc' ? freeOfContainer : freeOfMachine)(state, vmid, volids, worker);
  if (params['destroy-unreferenced-disks'] !== 1) return;
  for (const [storage, { options }] of Object.entries(state.store.storages)) {
    if (options['disable'] === 1) continue;
    for (const { volid } of await state.volumes.images(storage, vmid)) await state.volumes.free(volid);
  }
}

function forget({ state, params }: Call, ref: GuestRef, { log }: Worker): void {
  const { store } = state;
  store.acl = store.acl.filter(({ path }) => path !== `/vms/${ref.vmid}`);
  for (const pool of Object.values(store.pools)) pool.vms = pool.vms.filter((member) => member !== ref.vmid);
  Reflect.deleteProperty(store.firewall, ref.vmid);
  if (params['purge'] !== 1) return;
  log(`purging ${ref.kind.label} ${ref.vmid} from related configurations..`);
  Reflect.deleteProperty(store.ha, resourceOf(ref));
  for (const job of Object.values(store.backups)) {
    for (const key of ['vmid', 'exclude']) {
      const list = String(job[key] ?? '')
        .split(',')
        .filter((vmid) => vmid !== '' && vmid !== String(ref.vmid));
      if (job[key] !== undefined) job[key] = list.join(',');
    }
  }
}

/**
 * Destroys a guest: checks at once, the rest is a task.
 * @returns the task's UPID
 * @throws ApiError
 */
export function destroyGuest(call: Call, ref: GuestRef): string {
  const { state } = call;
  const { kind, vmid } = ref;
  check(call, ref, loadGuest(state, ref));
  return call.fork(`${kind.tasks}destroy`, String(vmid), (worker) =>
    state.locked(
      kind,
      vmid,
      async () => {
        const config = loadGuest(state, ref);
        check(call, ref, config);
        if (state.runtime.running(ref) !== undefined) {
          worker.log(`forced to stop ${kind.label} ${vmid} before destroying!`);
          await state.runtime.stop(ref);
        }
        await state.pause(800);
        await freeDisks(call, ref, config, worker);
        await state.runtime.forget(ref);
        forget(call, ref, worker);
        state.requireQuorum();
        state.guests.remove(ref);
        state.save();
      },
      worker.signal,
    ),
  );
}
