import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestFn } from 'ava';
import { ContainerState, PodSandboxState, RunPodSandboxRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { leaseholders } from '../integration/kills-reality.ts';
import { ServerFixture, type Owner } from '../integration/server-fixture.ts';
import { eventually, HANG_MS } from '../lib/eventually.ts';
import { finish } from '../pve/http/ask.ts';
import { NodeFixture } from './pve-node.ts';

/** The handler that runs a pod as a container of Proxmox VE. */
export const HANDLER = 'proxmox-lxc';
/** For calls of many pods at once. */
const PATIENT = { timeoutMs: HANG_MS };
/** The first VMID of the node's range. */
export const FIRST = 10_000;

/** A pod with one container that runs until it is ended. */
export interface GuestPod {
  id: string;
  vmid: number;
  container: string;
}

/** A server on a simulated node, and what an operator does to the guests of its pods. */
export class GuestPods {
  readonly node: NodeFixture;
  readonly server: ServerFixture;

  private constructor(node: NodeFixture, server: ServerFixture) {
    this.node = node;
    this.server = server;
  }

  /** @param more TOML for the server's configuration, and the address of its metrics. */
  static async make(
    t: Owner,
    options: Parameters<typeof NodeFixture.make>[0] = {},
    program = '',
    { toml = '', metrics = '' }: { toml?: string; metrics?: string } = {},
  ): Promise<GuestPods> {
    const node = await NodeFixture.make(options);
    t.teardown(() => node.close());
    return new GuestPods(node, await ServerFixture.make(t, node.toml + toml, { program, metrics }));
  }

  /** Runs a pod with a container; both are called `name`. */
  async run(name: string, script = 'echo ready; exec sleep 1000000'): Promise<GuestPod> {
    const request = RunPodSandboxRequest.create({ config: this.server.podConfig(name), runtimeHandler: HANDLER });
    const { runPodSandbox } = RuntimeServiceService;
    const { podSandboxId: id } = await this.server.client.call(runPodSandbox, request, { timeoutMs: HANG_MS });
    const container = await this.server.sh(id, name, script);
    await this.server.said(name, name, 'ready');
    return { id, vmid: await this.vmidOf(id), container };
  }

  /** The VMID that the map has for a pod. */
  async vmidOf(id: string): Promise<number> {
    const found = Object.entries(await this.map()).find(([, { owner }]) => owner === id);
    return Number(found?.[0]);
  }

  /** The entries of the map of VMIDs. */
  async map(): Promise<Record<string, { owner: string; state: string }>> {
    const text = await readFile(join(this.server.directory, 'root/vmids.json'), 'utf8').catch(() => '{"vmids":{}}');
    return (JSON.parse(text) as { vmids: Record<string, { owner: string; state: string }> }).vmids;
  }

  /** Makes a call about a guest as root@pam and waits for its task. Returns how that ended, `OK` for a success. */
  act(verb: string, vmid: number, rest = '', body: Record<string, unknown> = {}): Promise<string> {
    const request = verb === 'DELETE' ? {} : { body };
    return finish(this.node.cluster, verb, `/nodes/pve1/lxc/${String(vmid)}${rest}`, request);
  }

  /** The lines of the last task of a type that worked on a guest. */
  log(type: string, vmid: number): string {
    const tasks = this.node.cluster.state.tasks.all();
    return tasks.find((task) => task.type === type && task.id === String(vmid))?.log.join('\n') ?? '';
  }

  /** Takes the lock off a guest, as the end of a backup does. */
  unlock(vmid: number): void {
    const { guests } = this.node.cluster.state;
    const ref = guests.find(vmid)!;
    guests.write(ref, guests.read(ref)!.replace(/^lock: .*\n/m, ''));
  }

  /** Whether a guest runs, as the node sees it. */
  isRunning(vmid: number): boolean {
    const ref = this.node.cluster.state.guests.find(vmid);
    return ref !== undefined && this.node.cluster.state.runtime.running(ref) !== undefined;
  }

  /** The process id of a container, on this machine. */
  async pidOf(container: string): Promise<number> {
    const file = join(this.server.directory, 'state/runner/containers', container, 'runner.json');
    return (JSON.parse(await readFile(file, 'utf8')) as { container: { pid: number } }).container.pid;
  }

  /** The guests of the cluster. */
  vmids(): number[] {
    return this.node.cluster.state.guests.list().map(({ vmid }) => vmid);
  }

  /** Waits until the server reports that a pod has ended. */
  notReady(id: string): Promise<true> {
    return eventually(`the end of pod ${id}`, async () => {
      const { status } = await this.server.client.call(RuntimeServiceService.podSandboxStatus, {
        podSandboxId: id,
        verbose: false,
      });
      return status?.state === PodSandboxState.SANDBOX_NOTREADY;
    });
  }

  /** Whether pod and container run. */
  async runs({ id, container }: GuestPod): Promise<boolean> {
    const { status } = await this.server.client.call(RuntimeServiceService.podSandboxStatus, {
      podSandboxId: id,
      verbose: false,
    });
    const { state } = await this.server.status(container);
    return status?.state === PodSandboxState.SANDBOX_READY && state === ContainerState.CONTAINER_RUNNING;
  }

  stop(id: string): Promise<unknown> {
    return this.server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: id }, PATIENT);
  }

  remove(id: string): Promise<unknown> {
    return this.server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: id }, PATIENT);
  }

  /** What there still is of pods, on the node and in the server's directories. */
  async left(): Promise<string[]> {
    const { directory, cgroup } = this.server;
    const [entries, leases] = await Promise.all([this.map(), leaseholders(this.server)]);
    const cgroups = await namesBelow('cgroup', `/sys/fs/cgroup${cgroup}`);
    return [
      ...Object.keys(entries).map((vmid) => `VMID ${vmid}`),
      ...[...leases.keys()].map((address) => `lease ${address}`),
      ...cgroups.filter((name) => /^cgroup [0-9a-f]{64}/.test(name)),
      ...(await namesBelow('sandbox', `${directory}/state/proxmox-lxc`)).filter((name) => /[0-9a-f]{64}$/.test(name)),
      ...(await namesBelow('directory', `${directory}/state/sandboxes`)),
      ...(await this.onNode()),
    ];
  }

  /** What the node has of guests. */
  async onNode(): Promise<string[]> {
    const monitors = await namesBelow('monitor', '/sys/fs/cgroup/lxc.monitor');
    const volumes = await readdir('/var/lib/vz/images', { recursive: true });
    return [
      ...this.vmids().map((vmid) => `guest ${String(vmid)}`),
      ...monitors.filter((name) => /^monitor \d+$/.test(name)),
      ...(await namesBelow('configuration', '/var/lib/lxc')),
      ...volumes.filter((name) => name.split('/').length === 2).map((name) => `volume ${name}`),
    ];
  }

  /** Waits until nothing is left of pods. @returns what is left all the same. */
  async nothingLeft(): Promise<string[]> {
    let left: string[] = [];
    await eventually('an empty node', async () => (left = await this.left()).length === 0).catch(() => undefined);
    return left;
  }
}

async function namesBelow(what: string, path: string): Promise<string[]> {
  return (await readdir(path).catch(() => [])).map((name) => `${what} ${name}`);
}

/** In `test/long proxmox-guests`, which tries more of what happens to guests than test/run. */
export const IS_LONG = process.env['EVERY_END'] === '1';

/** The nodes of a simulated cluster; a guest is made on the first. */
const NODES = ['pve1', 'pve2'];
let shared: Promise<GuestPods> | undefined;
const cleanup: (() => unknown)[] = [];

/** One server on one node for all tests of a process; called once a file, at the top. The result is for use in tests. */
export function podsOf(test: TestFn): () => GuestPods {
  let made: GuestPods | undefined;
  test.before(async () => {
    const log = (...values: unknown[]) => void process.stderr.write(`${values.map(String).join(' ')}\n`);
    const owner: Owner = { teardown: (step) => void cleanup.push(step), log: log as Owner['log'], passed: true };
    shared ??= GuestPods.make(owner, { nodes: NODES });
    made = await shared;
  });
  test.after.always(async () => {
    for (let step = cleanup.pop(); step !== undefined; step = cleanup.pop()) await step();
  });
  return () => {
    if (made === undefined) throw new Error('no server');
    return made;
  };
}
