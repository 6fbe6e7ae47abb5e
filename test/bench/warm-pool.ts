// Measures RunPodSandbox of proxmox-lxc with a guest of the warm pool, with one made for the pod, and of crun, in one run on a
// simulated node of Proxmox VE.
//
//   test/lib/bundle; PROXMOX_LXCRI_TEST_BUNDLE=.cache/bundle test/sandbox unshare --mount sh -c \
//     'umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"' sh \
//     node_modules/.bin/node test/bench/warm-pool.ts [ROUNDS [PUT_MS [START_MS]]]                                9, 50 and 1800
//
// On a machine without AppArmor or without controllers on cgroup v2 the guests have no limits; in the test guest they have, but all
// takes many times as long there.
// The node answers a change of a configuration PUT_MS later, and a start takes START_MS more. Prints the median milliseconds of each,
// their ratio to the pool, and the requests of a claim.
import { readFile, rmdir } from 'node:fs/promises';
import { GuestPods, HANDLER } from '../guest/proxmox-pods.ts';
import { endAll, infoOf, METRICS, poolOf, warmToml } from '../guest/warm-pods.ts';
import { LxcRuntime } from '../pve/lxc/runtime.ts';
import { median } from './contenders.ts';

const [rounds = 9, putMs = 50, startMs = 1800] = process.argv.slice(2).map(Number);
const bare = (await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => '')) === '';
const steps: (() => unknown)[] = [];
const owner = { teardown: (step: () => unknown) => void steps.push(step), log: console.log, passed: true } as never;
try {
  const runtime = new LxcRuntime({ pve1: '/var/lib/lxc' }, { bare });
  const pods = await GuestPods.make(owner, { runtime }, '', { toml: warmToml(1), metrics: METRICS });
  steps.push(() => endAll(pods));
  const { faults, requests } = pods.node.cluster.state;
  faults.add({ effect: { kind: 'slow-answer', milliseconds: putMs }, match: { method: 'PUT' }, times: 0 });
  faults.add({ effect: { kind: 'task-delay', milliseconds: startMs }, match: { type: 'vzstart' }, times: 0 });
  // A limit of the guest's CPUs is what a guest of the pool cannot have.
  const own = { annotations: { 'proxmox-lxcri.io/cpulimit': '0' } as never };
  const contenders = {
    pool: { config: {}, handler: HANDLER },
    own: { config: own, handler: HANDLER },
    crun: { config: {}, handler: 'crun' },
  };
  const taken: Record<string, number[]> = { pool: [], own: [], crun: [] };
  const claims = new Set<string>();
  // The first round makes what is made once.
  for (let round = -1; round < rounds; round++) {
    for (const [name, { config, handler }] of Object.entries(contenders)) {
      const [vmid] = [...(await poolOf(pods, 1)).values()];
      const [from, begun] = [requests.length, performance.now()];
      const pod = await pods.server.pod(`${name}-${String(round)}`, config, handler);
      const ms = performance.now() - begun;
      if (round >= 0) taken[name]?.push(ms);
      if (name === 'pool') {
        if ((await infoOf(pods, pod))['origin'] !== 'warm pool') throw new Error('the pod has a guest of its own');
        for (const line of requests.slice(from))
          if (line.includes(`/${String(vmid)}/`)) claims.add(line.replace(String(vmid), 'VMID'));
      }
      await pods.stop(pod);
      await pods.remove(pod);
    }
  }
  const medians = Object.fromEntries(Object.entries(taken).map(([name, of]) => [name, median(of)]));
  console.log(
    `${String(rounds)} rounds, PUT ${String(putMs)} ms, start ${String(startMs)} ms; median ms, ratio to the pool`,
  );
  for (const [name, ms] of Object.entries(medians))
    console.log(`${name.padEnd(5)} ${ms.toFixed(0)} ms, ${(ms / (medians['pool'] ?? NaN)).toFixed(2)}`);
  console.log(`requests of a claim: ${[...claims].join(', ')}`);
} finally {
  for (const step of steps.reverse()) await step();
  for (const name of ['lxc', 'lxc.monitor']) await rmdir(`/sys/fs/cgroup/${name}`).catch(() => undefined);
}
