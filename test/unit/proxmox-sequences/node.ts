import { configView } from '../../pve/config/views.ts';
import { loadGuest, saveGuest } from '../../pve/config/guest.ts';
import type { ClusterState } from '../../pve/state/cluster-state.ts';
import type { Disturbance, Guest } from './model.ts';

/** All guests of the cluster as their files and the runtime have them, by VMID. */
export function nodeView(state: ClusterState): Guest[] {
  return state.guests
    .list()
    .map((ref) => {
      const config = loadGuest(state, ref);
      const { description, memory, lock } = configView(ref.kind, config, false);
      return {
        kind: ref.kind.type,
        node: ref.node,
        vmid: ref.vmid,
        mark: typeof description === 'string' ? description.trimEnd() : undefined,
        memory: memory === undefined ? undefined : Number(memory),
        running: state.runtime.running(ref) !== undefined,
        lock: typeof lock === 'string' ? lock : undefined,
        snapshots: [...config.snapshots.keys()],
      };
    })
    .sort((a, b) => a.vmid - b.vmid);
}

/** Does to a guest what somebody else does who does not use the API. */
export function disturb(state: ClusterState, { name, vmid, memory }: Disturbance): void {
  const ref = state.guests.find(vmid);
  if (ref === undefined) return;
  if (name === 'remove' || name === 'crash') state.runtime.crash(vmid);
  if (name === 'remove') state.guests.remove(ref);
  if (name === 'crash' || name === 'remove') return;
  const config = loadGuest(state, ref);
  if (name === 'unlock') {
    delete config.current.values['lock'];
  } else {
    config.current.values['memory'] = String(memory);
    delete config.pending.values['memory'];
  }
  saveGuest(state, ref, config);
}
