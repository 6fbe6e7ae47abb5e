import { statSync } from 'node:fs';
import type { Draft } from '../draft.ts';

const MAPPINGS = /^\w[\w-]*$/;

/** Adds the serial ports: each is a socket, or a device of the node. @throws Error when there is no such device. */
export function addSerialPorts(draft: Draft): void {
  for (const number of draft.numbers('serial')) {
    const path = draft.values[`serial${number}`]!;
    const id = `serial${number}`;
    if (path !== 'socket' && statSync(path, { throwIfNoEntry: false })?.isCharacterDevice() !== true)
      throw new Error('no such serial device');
    const socket = `socket,id=${id},path=${draft.socket(id)},server=on,wait=off`;
    draft.device('-chardev', path === 'socket' ? socket : `serial,id=${id},path=${path}`);
    draft.device('-device', `isa-serial,chardev=${id}`);
  }
}

/** Whether the configuration says that an agent runs in the guest. */
export function hasAgent(values: Readonly<Record<string, string>>): boolean {
  return /^(?:enabled=)?(?:1|on|yes|true)(?:,|$)/.test(values['agent'] ?? '');
}

/** Adds the port of the guest's agent. */
export function addAgent(draft: Draft): void {
  if (!hasAgent(draft.values)) return;
  draft.device('-chardev', `socket,path=${draft.socket('qga')},server=on,wait=off,id=qga0`);
  if (draft.settings('agent', 'enabled')['type'] === 'isa') {
    draft.device('-device', 'isa-serial,chardev=qga0');
    return;
  }
  draft.device('-device', `virtio-serial,id=qga0${draft.slots.place('qga0')}`);
  draft.device('-device', 'virtserialport,chardev=qga0,name=org.qemu.guest_agent.0');
}

/** Adds the source of random numbers. @throws Error when the node has no such file. */
export function addRandom(draft: Draft): void {
  if (draft.values['rng0'] === undefined) return;
  const { source = '/dev/urandom', max_bytes: bytes = '1024', period = '1000' } = draft.settings('rng0', 'source');
  if (statSync(source, { throwIfNoEntry: false }) === undefined)
    throw new Error(`cannot create VirtIO RNG device: source file '${source}' doesn't exist`);
  draft.machine.guard(4, 1, 2);
  const limit = bytes === '0' ? '' : `,max-bytes=${bytes},period=${period}`;
  draft.device('-object', `rng-random,filename=${source},id=rng0`);
  draft.device('-device', `virtio-rng-pci,rng=rng0${limit}${draft.slots.place('rng0')}`);
}

/** Adds what returns the guest's memory to the node, unless the configuration turns it off. */
export function addBalloon(draft: Draft): void {
  if (draft.values['balloon'] === '0') return;
  const reporting = draft.machine.atLeast(6, 2) ? ',free-page-reporting=on' : '';
  draft.device('-device', `virtio-balloon-pci,id=balloon0${draft.slots.place('balloon0')}${reporting}`);
}

/** Adds the watchdog. */
export function addWatchdog(draft: Draft): void {
  if (draft.values['watchdog'] === undefined) return;
  const { model = 'i6300esb', action } = draft.settings('watchdog', 'model');
  draft.device('-device', `${model}${draft.slots.place('watchdog')}`);
  if (action !== undefined) draft.device('-watchdog-action', action);
}

/** The place of the socket of a directory that is shared with the guest. */
export function shareSocket({ host, vmid }: Draft, number: number): string {
  return `${host.run.replace(/^\/var\/run\//, '/run/')}/virtiofsd/vm${vmid}-fs${number}`;
}

/** Adds the directories that are shared with the guest. */
export function addShares(draft: Draft): void {
  for (const number of draft.numbers('virtiofs')) {
    const { dirid = '' } = draft.settings(`virtiofs${number}`, 'dirid');
    if (!MAPPINGS.test(dirid)) throw new Error(`directory mapping invalid: ${dirid}`);
    const id = `virtiofs${number}`;
    draft.device('-chardev', `socket,id=${id},path=${shareSocket(draft, number)}`);
    draft.device('-device', `vhost-user-fs-pci,queue-size=1024,chardev=${id},tag=${dirid}`);
  }
}
