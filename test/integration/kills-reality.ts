import { access, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState, ListPodSandboxRequest, PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { run } from '../../src/host/processes/run.ts';
import { isErrno } from '../../src/utils/errors.ts';
import type { ServerFixture } from './server-fixture.ts';

/**
 * Compares what the server reports of its pods and containers with processes, cgroups, interfaces and leases of the
 * machine: one line per contradiction. Nobody else calls the server meanwhile; containers may end by themselves.
 * @param struck names of pods whose own processes may have been killed: their containers need no monitor.
 */
export async function contradictions(
  server: ServerFixture,
  struck: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const found: string[] = [];
  const { items: pods } = await server.client.call(
    RuntimeServiceService.listPodSandbox,
    ListPodSandboxRequest.create(),
  );
  const { containers } = await server.containers();
  const monitors = await monitorsById();
  const unmonitored = new Set(pods.filter(({ metadata }) => struck.has(metadata?.name ?? '')).map(({ id }) => id));
  for (const { id, state, podSandboxId } of containers) {
    const what = `container ${id.slice(0, 8)} in state ${String(state)}`;
    const alive = await isAlive(server, id);
    const ended = await exists(join(server.directory, 'state/runner/exits', id));
    if (state === ContainerState.CONTAINER_EXITED) {
      if (alive) found.push(`${what}: its process lives`);
      if (monitors.has(id)) found.push(`${what}: its monitor lives`);
    } else {
      if (!alive || ended) found.push(`${what}: its process has ended`);
      if (!monitors.has(id) && !unmonitored.has(podSandboxId)) found.push(`${what}: it has no monitor`);
      const waits = await exists(join(server.directory, 'state/runner/runtime', id, 'exec.fifo'));
      if (waits !== (state === ContainerState.CONTAINER_CREATED))
        found.push(`${what}: waits for a start: ${String(waits)}`);
    }
  }
  const known = new Set(containers.map(({ id }) => id));
  for (const id of monitors.keys()) if (!known.has(id)) found.push(`monitor of the unknown container ${id}`);
  for (const id of await names(join(server.directory, 'state/rootfs'))) {
    if (!known.has(id)) found.push(`mount point of the unknown container ${id}`);
  }
  for (const id of await names(join(server.directory, 'root/overlay/containers'))) {
    if (!known.has(id)) found.push(`root file system of the unknown container ${id}`);
  }
  for (const id of server.dataset === undefined ? [] : await childrenOf(`${server.dataset}/rootfs`)) {
    if (!known.has(id)) found.push(`dataset of the unknown container ${id}`);
  }

  const ready = new Set(pods.filter(({ state }) => state === PodSandboxState.SANDBOX_READY).map(({ id }) => id));
  const leases = await leaseholders(server);
  for (const id of ready) {
    const { status } = await server.client.call(RuntimeServiceService.podSandboxStatus, {
      podSandboxId: id,
      verbose: true,
    });
    const ip = status?.network?.ip ?? '';
    if (leases.get(ip) !== id)
      found.push(`READY pod ${id.slice(0, 8)}: its address ${ip} belongs to ${leases.get(ip) ?? 'nobody'}`);
  }
  for (const [ip, id] of leases) if (!ready.has(id)) found.push(`address ${ip} is held for ${id}, no READY pod`);
  const bridged = (await readdir(`/sys/class/net/${server.bridge}/brif`).catch(() => [])).length;
  if (bridged !== ready.size)
    found.push(`${String(bridged)} interfaces on the bridge for ${String(ready.size)} READY pods`);
  for (const [handler, directory] of [
    ['lxc', 'state/lxc'],
    ['crun', 'state/crun-sandboxes'],
    ['proxmox-lxc', 'state/proxmox-lxc'],
  ] as const) {
    const ids = new Set(pods.filter(({ runtimeHandler }) => runtimeHandler === handler).map(({ id }) => id));
    for (const id of await names(join(server.directory, directory))) {
      if (/^[0-9a-f]{64}$/.test(id) && !ids.has(id)) found.push(`${handler} sandbox ${id} of no pod`);
    }
  }
  return found;
}

/** Addresses that host-local has leased, with the id of each owner. */
export async function leaseholders(server: ServerFixture): Promise<Map<string, string>> {
  const leases = new Map<string, string>();
  for (const network of await names(join(server.directory, 'ipam'))) {
    for (const name of await names(join(server.directory, 'ipam', network))) {
      if (!/^[\d.]+$/.test(name)) continue;
      const content = await readFile(join(server.directory, 'ipam', network, name), 'utf8').catch((error: unknown) => {
        // Released since the listing.
        if (isErrno(error, 'ENOENT')) return undefined;
        throw error;
      });
      if (content !== undefined) leases.set(name, content.split(/\s/)[0] ?? '');
    }
  }
  return leases;
}

/** Pids of the living conmon processes by the id of their container. */
async function monitorsById(): Promise<Map<string, string>> {
  const { stdout } = await run('ps', ['-eo', 'pid=,state=,args='], { maxOutputBytes: 2 ** 24 });
  const monitors = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const match = /^\s*(\d+) [^ZX] \S*conmon .*--cid ([0-9a-f]{64}) /.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) monitors.set(match[2], match[1]);
  }
  return monitors;
}

async function isAlive(server: ServerFixture, id: string): Promise<boolean> {
  const text = await readFile(join(server.directory, 'state/runner/containers', id, 'runner.json'), 'utf8').catch(
    () => undefined,
  );
  if (text === undefined) return false;
  const { container } = JSON.parse(text) as { container: { pid: number; startTime: number } };
  const stat = await readFile(`/proc/${String(container.pid)}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return !'ZX'.includes(fields[0] ?? 'X') && Number(fields[19]) === container.startTime;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

/** Names of the datasets directly below one. */
async function childrenOf(dataset: string): Promise<string[]> {
  const { stdout } = await run('zfs', ['list', '-Hd', '1', '-o', 'name', dataset]);
  return stdout
    .trim()
    .split('\n')
    .slice(1)
    .map((name) => name.slice(dataset.length + 1));
}
