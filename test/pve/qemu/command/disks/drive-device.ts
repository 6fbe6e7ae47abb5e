import type { Draft } from '../draft.ts';
import type { Drive } from './drives.ts';

/** The controller of a SCSI drive: its name and number, and how many drives it has. */
function scsiController(hardware: string | undefined, index: number): { prefix: string; number: number; size: number } {
  if (hardware === 'virtio-scsi-single') return { prefix: 'virtioscsi', number: index, size: 1 };
  const size = hardware === undefined || hardware.startsWith('lsi') ? 7 : 256;
  return { prefix: 'scsihw', number: Math.floor(index / size), size };
}

/** Whether drives are nodes of the block layer that the command line makes one by one. */
export function usesBlockdev({ machine, host }: Draft): boolean {
  return host.release !== '8.4' && machine.atLeast(10, 0);
}

/**
 * Adds the controller of a drive where it is the first one that needs it.
 * @param made the controllers that are there
 * @param warn gets what the node says of settings without an effect
 */
export function addController(draft: Draft, drive: Drive, made: Set<string>, warn: (line: string) => void): void {
  const { settings, index } = drive;
  const threaded = settings['iothread'] === '1';
  if (drive.interface === 'virtio' && threaded) draft.option('-object', `iothread,id=iothread-${drive.key}`);
  if (drive.interface === 'scsi') {
    const hardware = draft.values['scsihw'];
    const single = hardware === 'virtio-scsi-single';
    const { prefix, number } = scsiController(hardware, index);
    const id = `${prefix}${number}`;
    const place = draft.slots.place(id);
    if (single && threaded) draft.option('-object', `iothread,id=iothread-${id}`);
    else if (threaded) warn('iothread is only valid with virtio disk or virtio-scsi-single controller, ignoring');
    const thread = single && threaded ? `,iothread=iothread-${id}` : '';
    const queues = single && settings['queues'] !== undefined ? `,num_queues=${settings['queues']}` : '';
    const model = single ? 'virtio-scsi-pci' : (hardware ?? 'lsi');
    if (!made.has(id)) draft.device('-device', `${model},id=${id}${place}${thread}${queues}`);
    made.add(id);
  }
  if (drive.interface === 'sata' && !made.has('ahci0')) {
    draft.device('-device', `ahci,id=ahci0,multifunction=on${draft.slots.place('ahci0')}`);
    made.add('ahci0');
  }
}

/** A value that a comma does not end. */
function escaped(text: string): string {
  return decodeURIComponent(text).replaceAll(',', ',,');
}

function scsiDevice(draft: Draft, { key, index, cdrom, settings }: Drive, source: string): string {
  const hardware = draft.values['scsihw'];
  const { prefix, number, size } = scsiController(hardware, index);
  const narrow = hardware === undefined || hardware.startsWith('lsi') || hardware === 'pvscsi';
  const address = narrow ? `scsi-id=${index % size}` : `channel=0,scsi-id=0,lun=${index}`;
  return [
    `scsi-${cdrom ? 'cd' : 'hd'},bus=${prefix}${number}.0,${address}${source},id=${key}`,
    usesBlockdev(draft) ? `,device_id=drive-${key}` : '',
    settings['ssd'] === '1' && !cdrom ? ',rotation_rate=1' : '',
    settings['wwn'] === undefined ? '' : `,wwn=${settings['wwn']}`,
  ].join('');
}

function ataDevice(draft: Draft, { key, index, cdrom, settings, interface: kind }: Drive, source: string): string {
  // A q35 machine has a controller for each drive; the even ones stay where they were on other machines.
  const even = draft.machine.q35 ? [Math.floor(index / 2) + 2 * (index % 2), 0] : [Math.floor(index / 2), index % 2];
  const bus = kind === 'sata' ? `ahci0.${index}` : `ide.${even[0]!},unit=${even[1]!}`;
  return [
    `ide-${cdrom ? 'cd' : 'hd'},bus=${bus}${source},id=${key}`,
    settings['ssd'] === '1' && !cdrom ? ',rotation_rate=1' : '',
    settings['wwn'] === undefined ? '' : `,wwn=${settings['wwn']}`,
  ].join('');
}

/** The value of `-device` for a drive. */
export function driveDevice(draft: Draft, drive: Drive, bootIndex: number | undefined): string {
  const { key, settings, cdrom } = drive;
  const nodes = usesBlockdev(draft);
  const source = nodes && drive.file === undefined ? '' : `,drive=drive-${key}`;
  const cached = settings['cache'] !== 'writethrough' && settings['cache'] !== 'directsync';
  const errors = ['rerror', 'werror'].filter((name) => settings[name] !== undefined);
  const device = {
    virtio: () =>
      `virtio-blk-pci${source},id=${key}${draft.slots.place(key)}` +
      (settings['iothread'] === '1' ? `,iothread=iothread-${key}` : ''),
    scsi: () => scsiDevice(draft, drive, source),
    ide: () => ataDevice(draft, drive, source),
    sata: () => ataDevice(draft, drive, source),
  }[drive.interface]();
  return [
    device,
    bootIndex === undefined ? '' : `,bootindex=${bootIndex}`,
    settings['serial'] === undefined ? '' : `,serial=${escaped(settings['serial'])}`,
    nodes && !cdrom ? `,write-cache=${cached ? 'on' : 'off'}` : '',
    ...(nodes ? errors.map((name) => `,${name}=${settings[name]}`) : []),
  ].join('');
}
