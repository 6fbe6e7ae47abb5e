import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Secret } from '../../../src/integrations/proxmox-api/auth/secret.ts';
import { connectProxmox, type ProxmoxClient } from '../../../src/integrations/proxmox-api/client.ts';
import { type SimulatedCluster, startCluster } from '../../pve/cluster.ts';
import type { Certificate } from '../../pve/http/certificate.ts';
import { clientView, perform } from './driver.ts';
import { randomFaults } from './faults.ts';
import { type Disturbance, Model, type Operation } from './model.ts';
import { disturb, nodeView } from './node.ts';
import { Random } from './random.ts';

const NODES = ['pve1', 'pve2'];
const VMIDS = [101, 102, 103];
const OPERATIONS = [
  ...['create', 'create', 'clone', 'config', 'config', 'start', 'start'],
  ...['stop', 'shutdown', 'snapshot', 'delete'],
] as Operation['name'][];
const DISTURBANCES = ['edit', 'remove', 'crash', 'unlock'] as const;

/** How much a sequence has met. */
export interface Tally {
  operations: number;
  /** Operations that met faults or somebody else. */
  disturbed: number;
  /** Operations that were done after all, of those. */
  doneAllTheSame: number;
}

/** One sequence of operations of a client on a cluster of its own. */
class Sequence {
  readonly tally: Tally = { operations: 0, disturbed: 0, doneAllTheSame: 0 };
  readonly steps: string[] = [];
  readonly #random: Random;
  readonly #cluster: SimulatedCluster;
  readonly #client: ProxmoxClient;
  readonly #model = new Model();
  /** A memory size that a guest may have, and a part of names. */
  #serial = 1000;

  constructor(random: Random, cluster: SimulatedCluster, client: ProxmoxClient) {
    this.#random = random;
    this.#cluster = cluster;
    this.#client = client;
  }

  async run(): Promise<void> {
    for (let left = 8 + this.#random.below(8); left > 0; left--) {
      if (this.#random.once(6)) this.#disturb(this.#disturbance());
      await this.#step();
      this.#compare();
    }
    assert.deepEqual(await clientView(this.#client, NODES), this.#model.view(), "the client's view and the model");
    for (const vmid of VMIDS) assert.equal(await this.#client.cluster.isFree(vmid), !this.#model.guests.has(vmid));
  }

  async #step(): Promise<void> {
    const { faults, guests } = this.#cluster.state;
    const operation = this.#operation();
    const isAllowed = this.#model.allows(operation);
    const isRunning = this.#model.target(operation)?.running === true;
    const isStop = operation.name === 'stop' || operation.name === 'shutdown';
    const isDamaged = this.#model.isDamaged(operation.vmid);
    const memory = await this.#memoryAtFirst(operation, isAllowed);
    const amid = this.#random.once(6) && operation.name !== 'config' ? this.#disturbance() : undefined;
    const armed = amid !== undefined ? [] : this.#random.once(2) ? randomFaults(this.#random, operation) : [];
    for (const fault of armed) faults.add(fault);
    if (amid !== undefined) faults.add({ effect: { kind: 'task-hold' } });
    this.steps.push(JSON.stringify({ ...operation, faults: armed, amid }));
    const before = guests.list().length;
    // A task may come to its hold later than its id comes to the client.
    let release: NodeJS.Timeout | undefined;
    const outcome = await perform(this.#client, operation, () => {
      if (amid === undefined) return;
      this.#disturb(amid);
      release = setInterval(() => faults.release(), 2);
    }).finally(() => clearInterval(release));
    this.steps.push(`  ${outcome}`);
    faults.clear();
    this.#model.apply(operation, outcome, memory);
    await this.#readHalfDeleted(operation, outcome);

    const isCalm = armed.length === 0 && amid === undefined;
    this.tally.operations++;
    if (!isCalm) this.tally.disturbed++;
    if (!isCalm && outcome === 'done') this.tally.doneAllTheSame++;
    // To stop what does not run, or to start what does, leads to what was wanted, even where the task fails.
    const isIdle = outcome === 'done' && (isStop ? !isRunning : operation.name === 'start' && isRunning);
    if (isCalm && !isDamaged && !isIdle)
      assert.equal(outcome === 'done', isAllowed, 'what the model allows, undisturbed');
    const makes = operation.name === 'create' || operation.name === 'clone';
    if (makes && outcome === 'done' && !isAllowed) assert.fail('a second guest under one VMID');
    if (!makes && amid === undefined) assert.ok(guests.list().length <= before, 'a guest out of nothing');
  }

  /** A delete with force stops the guest first, and may fail then. */
  async #readHalfDeleted(operation: Operation, outcome: string): Promise<void> {
    const guest = this.#model.target(operation);
    if (operation.name !== 'delete' || outcome !== 'notDone' || guest === undefined) return;
    guest.running = (await this.#client.guests.status(guest)).status === 'running';
  }

  /** A clone has the memory that its source has at the moment, without what waits for a stop. */
  async #memoryAtFirst(operation: Operation, isAllowed: boolean): Promise<number | undefined> {
    if (operation.name !== 'clone') return operation.serial;
    if (!isAllowed) return undefined;
    return (await this.#client.guests.config(operation, { current: true })).memory;
  }

  #compare(): void {
    const { state } = this.#cluster;
    const running = state.tasks.all().filter(({ exit }) => exit === undefined);
    assert.deepEqual(running, [], 'a task was forgotten');
    assert.deepEqual(nodeView(state), this.#model.view(), "the node's view and the model");
  }

  #operation(): Operation {
    const random = this.#random;
    const name = random.of(OPERATIONS);
    const there = this.#model.view();
    const vmid = name !== 'create' && there.length > 0 && !random.once(8) ? random.of(there).vmid : random.of(VMIDS);
    const guest = name === 'create' || random.once(12) ? undefined : this.#model.guests.get(vmid);
    const { kind, node } = guest ?? { kind: random.of(['lxc', 'lxc', 'qemu'] as const), node: random.of(NODES) };
    return { name, kind, node, vmid, newid: random.of(VMIDS), force: random.once(2), serial: ++this.#serial };
  }

  #disturbance(): Disturbance {
    return { name: this.#random.of(DISTURBANCES), vmid: this.#random.of(VMIDS), memory: ++this.#serial };
  }

  #disturb(disturbance: Disturbance): void {
    this.steps.push(JSON.stringify(disturbance));
    disturb(this.#cluster.state, disturbance);
    this.#model.disturb(disturbance);
  }
}

/**
 * Runs the sequence of a seed.
 * @throws Error with the seed and the steps when client, node and model do not agree.
 */
export async function runSequence(seed: number, certificate: Certificate): Promise<Tally> {
  const random = new Random(seed);
  const release = random.of(['8.4', '9.2'] as const);
  await using cluster = await startCluster({ certificate, nodes: NODES, release });
  const { state } = cluster;
  state.store.storages['btr'] = { type: 'btrfs', path: '/btr', content: ['images', 'rootdir'], options: {} };
  state.volumes.prepare('btr');
  await writeFile(state.volumes.target('local', 'vztmpl', 'mini.tar.gz'), 'archive');
  const client = await connectProxmox({
    hosts: cluster.nodes.map(({ url }) => new URL(url).host),
    trust: { fingerprints: [certificate.fingerprint] },
    credentials: { kind: 'token', secret: new Secret(cluster.token('root@pam', 'k8s').replace('PVEAPIToken=', '')) },
    pauseMs: 1,
  });
  const sequence = new Sequence(random, cluster, client);
  try {
    await sequence.run();
    return sequence.tally;
  } catch (error) {
    throw new Error(`seed ${seed}, release ${release}: ${String(error)}\n${sequence.steps.join('\n')}`, {
      cause: error,
    });
  } finally {
    await client.close();
  }
}
