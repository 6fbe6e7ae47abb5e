import { Draft } from '../command/draft.ts';
import { parseDrive } from '../command/disks/drives.ts';
import { machineOf } from '../command/machine-type.ts';
import { forUpstream } from '../command/upstream.ts';
import { netdev, networkDevice, parseCard, tapName } from '../command/parts/network.ts';
import { tool } from '../../lxc/machine/tool.ts';
import type { HostFacts } from '../command/host.ts';
import { withVolumes } from '../disks.ts';
import type { Machine } from '../machine.ts';
import { writeNetwork } from '../networks.ts';
import { addDevice, removeDevice } from './devices.ts';
import { changeMedium, plugDrive, unplugDrive } from './disks.ts';
import { isMediumChange, isSameCard } from './takes.ts';

type Values = Readonly<Record<string, string>>;

/** A machine that is changed while it runs: its own values, with and without the change. */
interface Change {
  readonly machine: Machine;
  readonly facts: HostFacts;
  readonly before: Values;
  readonly after: Values;
}

function draftOf({ machine, facts }: Change, values: Values): Draft {
  return new Draft(machine.ref.vmid, values, facts, machineOf(values, facts));
}

async function changeDrive(change: Change, key: string): Promise<void> {
  const { before, after, machine } = change;
  const { monitor, node } = machine;
  const [old, drive] = [before[key], after[key]].map((value) =>
    value === undefined ? undefined : parseDrive(key, value),
  );
  const adapt = (option: string, value: string): string => forUpstream([option, value], node.substitutes)[1]!;
  if (old !== undefined && drive !== undefined && old.file === drive.file) return;
  if (old !== undefined && drive !== undefined && isMediumChange(old, drive)) {
    await changeMedium(monitor, draftOf(change, after), old, drive, adapt);
    return;
  }
  if (old !== undefined) await unplugDrive(monitor, draftOf(change, before), old);
  if (drive !== undefined) await plugDrive(monitor, draftOf(change, after), drive, adapt);
}

async function changeCard(change: Change, number: number): Promise<void> {
  const { before, after, machine, facts } = change;
  const { monitor, ref } = machine;
  const { scripts } = facts;
  const key = `net${number}`;
  const [old, card] = [before[key], after[key]].map((value) => (value === undefined ? undefined : parseCard(value)));
  if (card !== undefined) writeNetwork(scripts, ref.vmid, number, after[key]!);
  const same = old !== undefined && card !== undefined && isSameCard(old, card);
  if (old !== undefined && !same) {
    await removeDevice(monitor, key);
    await monitor.execute('netdev_del', { id: key });
  }
  if (card === undefined) return;
  if (same) {
    if (card.settings['bridge'] !== undefined) await tool(`${scripts}/pve-bridge-hotplug`, [tapName(ref.vmid, number)]);
  } else {
    const draft = draftOf(change, after);
    const said = await monitor.human(`netdev_add ${netdev(draft, number, card, true)}`);
    if (said.trim() !== '') throw new Error(said.trim());
    await addDevice(
      monitor,
      key,
      networkDevice(draft, number, card, undefined, () => undefined),
    );
  }
  if (card.settings['link_down'] !== old?.settings['link_down'])
    await monitor.execute('set_link', { name: key, up: card.settings['link_down'] !== '1' });
}

/**
 * Gives a running machine what differs of its configuration.
 * @returns why it does not take a value, by key.
 */
export async function changeMachine(machine: Machine, before: Values, after: Values): Promise<Record<string, string>> {
  const { facts, host } = machine.node;
  const change = { machine, facts: await withVolumes(facts, { ...before, ...after }, host.volumes), before, after };
  const failed: Record<string, string> = {};
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  for (const key of keys.filter((one) => before[one] !== after[one])) {
    const [, number] = /^net(\d+)$/.exec(key) ?? [];
    try {
      if (number !== undefined) await changeCard(change, Number(number));
      else if (/^(?:ide|sata|scsi|virtio)\d+$/.test(key)) await changeDrive(change, key);
      else if (key === 'cpulimit' || key === 'cpuunits') machine.scope.limit(after);
    } catch (error) {
      failed[key] = (error as Error).message;
    }
  }
  return failed;
}
