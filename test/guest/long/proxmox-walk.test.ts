// All points: `test/long walk-proxmox`.
import test from 'ava';
import { ListPodSandboxRequest, PodSandboxState, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { FAULTY_PROGRAM, Faults } from '../../integration/walk-faults.ts';
import { lead } from '../../integration/walk-lead.ts';
import { podStages } from '../../integration/walk-stages.ts';
import { Walk, type Elsewhere } from '../../integration/walk.ts';
import { GuestPods, HANDLER } from '../proxmox-pods.ts';

/** Steps with the most to lose, of the three RPCs; all of them with WALK_SHARE. */
const TELLING: Readonly<Record<string, readonly string[]>> = {
  RunPodSandbox: ['proxmox POST /nodes/pve1/lxc#0', 'proxmox POST /nodes/pve1/lxc/VMID/status/start#0'],
  StopPodSandbox: [],
  RemovePodSandbox: ['proxmox DELETE /nodes/pve1/lxc/VMID#0'],
};

test.serial('a server killed at a step of a guest', async (t) => {
  const pods = await GuestPods.make(t, {}, FAULTY_PROGRAM);
  const { server } = pods;
  const walk = await Walk.begin(server, new Faults(server.directory), HANDLER, elsewhere(pods));
  const stages = podStages(server, HANDLER, walk).filter(({ name }) => name in TELLING);
  if (process.env['WALK_SHARE'] !== undefined) return lead(t, walk, stages);
  for (const stage of stages) {
    for (const point of TELLING[stage.name] ?? []) {
      const outcome = await walk.visit(stage, { point, how: 'die-after', errno: 'EIO' });
      t.deepEqual(outcome, { struck: true, problems: [] }, `${stage.name}: ${point}`);
    }
  }
});

/** Guests, their volumes and the map of VMIDs, as the node and the server see them. */
function elsewhere(pods: GuestPods): Elsewhere {
  return {
    async inventory() {
      const entries = Object.entries(await pods.map());
      return [...entries.map(([vmid, { owner, state }]) => `VMID ${vmid} ${state} ${owner}`), ...(await pods.onNode())];
    },
    async contradictions() {
      const { listPodSandbox } = RuntimeServiceService;
      const { items } = await pods.server.client.call(listPodSandbox, ListPodSandboxRequest.create());
      const own = new Map(items.filter((pod) => pod.runtimeHandler === HANDLER).map((pod) => [pod.id, pod.state]));
      const map = await pods.map();
      const found: string[] = [];
      for (const [id, state] of own) {
        const vmid = await pods.vmidOf(id);
        const isReady = state === PodSandboxState.SANDBOX_READY;
        if (isReady !== pods.isRunning(vmid)) found.push(`pod ${id} in state ${state}, CT ${String(vmid)} not so`);
      }
      for (const vmid of pods.vmids()) {
        const entry = map[vmid];
        if (entry === undefined) found.push(`CT ${String(vmid)} of no pod`);
        else if (entry.state === 'used' && !own.has(entry.owner)) found.push(`CT ${String(vmid)} of an unknown pod`);
      }
      return found;
    },
  };
}
