import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RuntimeHost } from '../guests/runtime.ts';
import { hostCpus } from '../guests/status.ts';
import type { HostFacts } from './command/host.ts';
import { qemuVersion } from './machine/needs.ts';
import { q35Devices } from './machine/q35.ts';

const INITIATOR = '/etc/iscsi/initiatorname.iscsi';

/** Where the things of a node lie below the cluster's directory: nothing of the machine is changed. */
export function places(directory: string): Pick<HostFacts, 'run' | 'events' | 'scripts' | 'share'> {
  const files = join(directory, 'qemu-server');
  return {
    run: join(directory, 'run/qemu-server'),
    events: join(directory, 'run/qmeventd.sock'),
    scripts: files,
    share: files,
  };
}

/** Makes the directory of sockets and the files that only a Proxmox node has. */
export async function makeNodeFiles({ run, share }: Pick<HostFacts, 'run' | 'share'>): Promise<void> {
  await mkdir(run, { recursive: true, mode: 0o755 });
  await cp(join(import.meta.dirname, 'node-files'), share, { recursive: true });
  await writeFile(join(share, 'pve-q35-4.0.cfg'), q35Devices());
}

function mtuOf(bridge: string): number {
  const file = `/sys/class/net/${bridge}/mtu`;
  if (!existsSync(file)) throw new Error(`bridge '${bridge}' does not exist`);
  return Number(readFileSync(file, 'utf8'));
}

/** What this machine is for the command lines of a cluster's machines, without their volumes. @throws Error when the program says no version. */
export async function hostFacts({ release, directory }: RuntimeHost): Promise<Omit<HostFacts, 'volume'>> {
  const initiator = existsSync(INITIATOR)
    ? /^\s*InitiatorName\s*=\s*([.\-:\w]+)/m.exec(readFileSync(INITIATOR, 'utf8'))?.[1]
    : undefined;
  return {
    release,
    qemu: await qemuVersion(),
    kvm: existsSync('/dev/kvm'),
    vhostNet: existsSync('/dev/vhost-net'),
    cpus: hostCpus,
    ...(initiator === undefined ? {} : { initiator }),
    ...places(directory),
    mtu: mtuOf,
  };
}
