import { Draft } from './draft.ts';
import { addDisks } from './disks/add-disks.ts';
import { bootOrder } from './disks/boot-order.ts';
import type { HostFacts } from './host.ts';
import { keepsOldSlots, machineOf } from './machine-type.ts';
import { addClock, addPowerStates } from './parts/clock.ts';
import { addCpus, cpuOption } from './parts/cpu.ts';
import { addBridges, addClipboard, addDisplay, addPointer, isWithoutScreen } from './parts/display.ts';
import { addMemory } from './parts/memory.ts';
import { addNetworks } from './parts/network.ts';
import { addAgent, addBalloon, addRandom, addSerialPorts, addShares, addWatchdog } from './parts/ports.ts';
import { addSmbios } from './smbios.ts';
import { splitWords } from './words.ts';
import { parseVersion, atLeast } from './version.ts';

/** Keys of a configuration that stand for hardware and programs which the simulated node has not. */
const LEFT_OUT = /^(?:amd-sev|audio0|hostpci\d+|hugepages|intel-tdx|ivshmem|parallel\d+|tpmstate0|usb\d+|vmstate)$/;

function checkParts(values: Readonly<Record<string, string>>, { kvm }: HostFacts): void {
  const left = Object.keys(values).find((key) => LEFT_OUT.test(key));
  if (left !== undefined) throw new Error(`'${left}' is not part of the simulated node`);
  if (values['bios'] === 'ovmf') throw new Error("'bios: ovmf' is not part of the simulated node");
  if (/\.pxe(?:,|$)/.test(values['machine'] ?? ''))
    throw new Error(`'machine: ${values['machine']!}' is not part of the simulated node`);
  if (values['arch'] !== undefined && values['arch'] !== 'x86_64')
    throw new Error(`'arch: ${values['arch']}' is not part of the simulated node`);
  if (values['kvm'] !== '0' && !kvm) {
    throw new Error(
      'KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS.',
    );
  }
}

function addIdentity(draft: Draft): void {
  const { host, vmid, machine } = draft;
  const program = parseVersion(host.qemu)!;
  draft.option('-id', String(vmid));
  // Since 11.0 QEMU names its threads unasked, and release 9 leaves the setting out.
  const threads = host.release !== '8.4' && atLeast(program, 11, 0) ? '' : ',debug-threads=on';
  draft.option('-name', `${draft.name}${threads}`, '-no-shutdown');
  draft.option('-chardev', `socket,id=qmp,path=${draft.socket('qmp')},server=on,wait=off`);
  draft.option('-mon', 'chardev=qmp,mode=control');
  if (machine.atLeast(2, 12)) {
    const again = atLeast(program, 9, 2) ? 'reconnect-ms=5000' : 'reconnect=5';
    draft.option('-chardev', `socket,id=qmp-event,path=${host.events},${again}`);
    draft.option('-mon', 'chardev=qmp-event,mode=control');
  }
  draft.option('-pidfile', draft.socket('pid'), '-daemonize');
  addSmbios(draft);
}

/** @throws Error with the node's text for what the node, or the simulated one, does not start. */
function write(draft: Draft, warn: (line: string) => void): void {
  const { values, host, machine } = draft;
  const order = bootOrder(values);
  addIdentity(draft);
  if (machine.q35) draft.device('-readconfig', `${host.share}/pve-q35-4.0.cfg`);
  if (keepsOldSlots(values)) draft.option('-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off');
  if (values['vmgenid'] !== undefined) draft.device('-device', `vmgenid,guid=${values['vmgenid']}`);
  addPointer(draft);
  addSerialPorts(draft);
  addCpus(draft);
  draft.option('-nodefaults');
  draft.option('-boot', `menu=on,strict=on,reboot-timeout=1000,splash=${host.share}/bootsplash.jpg`);
  if (values['acpi'] === '0') draft.machineSettings.push('acpi=off');
  if (values['reboot'] === '0') draft.option('-no-reboot');
  addDisplay(draft);
  addClock(draft);
  draft.option('-cpu', cpuOption(draft));
  addMemory(draft);
  if (values['freeze'] === '1') draft.option('-S');
  if (values['keyboard'] !== undefined) draft.option('-k', values['keyboard']);
  addAgent(draft);
  addRandom(draft);
  addClipboard(draft);
  addBalloon(draft);
  addWatchdog(draft);
  if (host.initiator !== undefined) draft.device('-iscsi', `initiator-name=${host.initiator}`);
  addDisks(draft, order, warn);
  addNetworks(draft, order, warn);
  addBridges(draft);
  if (!draft.kvm) draft.machineSettings.push('accel=tcg');
  addPowerStates(draft);
  if (isWithoutScreen(draft)) draft.machineSettings.push('smm=off');
  draft.machineSettings.push(`type=${machine.least}`);
  addIommu(draft);
  if (values['allow-ksm'] === '0') draft.machineSettings.push('mem-merge=off');
  addShares(draft);
}

function addIommu(draft: Draft): void {
  const { viommu, 'aw-bits': bits } = draft.settings('machine', 'type');
  const { q35 } = draft.machine;
  if (viommu === 'intel' && !q35) throw new Error('to use Intel vIOMMU please set the machine type to q35');
  if (bits !== undefined && viommu === undefined) throw new Error('cannot set aw-bits if no vIOMMU is configured');
  const width = bits === undefined ? '' : `,aw-bits=${bits}`;
  if (viommu === 'intel') {
    draft.deviceFirst('-device', `intel-iommu,intremap=on,caching-mode=on${width}`);
    draft.machineSettings.push('kernel-irqchip=split');
  } else if (viommu === 'virtio') draft.device('-device', `virtio-iommu-pci${width}`);
}

/**
 * The command line with which the node starts a virtual machine, the program first.
 * @param values the configuration's values by key
 * @param warn gets what the node says of settings without an effect
 * @throws Error with the node's text for what it refuses, and for what is left out of the simulated node.
 */
export function commandLine(
  vmid: number,
  values: Readonly<Record<string, string>>,
  host: HostFacts,
  warn: (line: string) => void = () => undefined,
): string[] {
  checkParts(values, host);
  const draft = new Draft(vmid, values, host, machineOf(values, host));
  write(draft, warn);
  const { affinity, args } = values;
  return [
    ...(affinity === undefined ? [] : ['/usr/bin/taskset', '--cpu-list', '--all-tasks', affinity]),
    '/usr/bin/kvm',
    ...draft.arguments,
    ...(args === undefined ? [] : splitWords(args)),
  ];
}
