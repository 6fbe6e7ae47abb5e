import type { Draft } from '../draft.ts';
import { hyperV } from './windows.ts';

const V2 = '+popcnt;+pni;+sse4.1;+sse4.2;+ssse3';
const V3 = `+aes;${V2};+avx;+avx2;+bmi1;+bmi2;+f16c;+fma;+abm;+movbe;+xsave`;
/** The models that the node makes of another one, with the flags that they add to it. */
const BUILT_IN: Readonly<Record<string, string>> = {
  'x86-64-v2': V2,
  'x86-64-v2-AES': `+aes;${V2}`,
  'x86-64-v3': V3,
  'x86-64-v4': `${V3};+avx512f;+avx512bw;+avx512cd;+avx512dq;+avx512vl`,
};

const RENAMED: Readonly<Record<string, string>> = {
  'Icelake-Client': 'Icelake-Server',
  'Icelake-Client-noTSX': 'Icelake-Server-noTSX',
};

const AMD = /^(?:athlon|phenom|Opteron|EPYC)/;
const ANY = /^(?:host|max|kvm32|kvm64|qemu32|qemu64)$/;

/** A flag of a model: its sign where it has one, and its value where it has one. */
interface Flag {
  readonly sign: string;
  readonly value?: string;
}

function signed(list: string): [string, Flag][] {
  return list.split(';').flatMap((item): [string, Flag][] => {
    const [, sign, name] = /^([+-])(.+)$/.exec(item) ?? [];
    return sign === undefined ? [] : [[name!, { sign }]];
  });
}

function nodeFlags({ values, kvm, machine, host }: Draft, model: string): [string, Flag][] {
  const on = { sign: '+' };
  const off = { sign: '-' };
  const modern = (parseInt(host.qemu, 10) || 0) >= 11;
  const flags: [boolean, string, Flag][] = [
    [model === 'kvm64', 'lahf_lm', on],
    [values['ostype'] === 'solaris', 'x2apic', off],
    [model === 'kvm64' || model === 'kvm32', 'sep', on],
    [model.startsWith('Opteron'), 'rdtscp', off],
    [kvm, 'kvm_pv_unhalt', on],
    [kvm, 'kvm_pv_eoi', on],
    [modern && values['ostype'] === 'win11', 'cet-ibt', off],
    [modern && values['ostype'] === 'win11', 'cet-ss', off],
    [modern && model === 'host' && !machine.guard(11, 0), 'vmx-mbec', off],
  ];
  return flags.filter(([wanted]) => wanted).map(([, name, found]) => [name, found]);
}

/** The model that a configuration's `cpu` means: what QEMU calls it, and the flags that come with it. */
function modelOf(draft: Draft): { name: string; flags: string; settings: Readonly<Record<string, string>> } {
  const settings = draft.settings('cpu', 'cputype');
  const type = settings['cputype'] ?? (draft.kvm ? 'kvm64' : 'qemu64');
  const flags = BUILT_IN[type];
  if (flags !== undefined) return { name: 'qemu64', flags, settings };
  if (type.startsWith('custom-')) throw new Error(`Custom cputype '${type.slice('custom-'.length)}' not found`);
  return { name: RENAMED[type] ?? type, flags: '', settings };
}

/** The value of `-cpu`. */
export function cpuOption(draft: Draft): string {
  const { name, flags: own, settings } = modelOf(draft);
  const vendor = ANY.test(name) ? undefined : AMD.test(name) ? 'AuthenticAMD' : 'GenuineIntel';
  const flags = new Map<string, Flag>([
    ...nodeFlags(draft, name),
    ...hyperV(draft, settings['hv-vendor-id']).map(([flagName, value]): [string, Flag] => [
      flagName,
      { sign: '', ...(value === undefined ? {} : { value }) },
    ]),
    ...signed(own),
    ...signed(settings['flags'] ?? ''),
    ...(name !== 'host' && draft.kvm ? [['enforce', { sign: '' }] as [string, Flag]] : []),
    ...(settings['hidden'] === '1' ? [['kvm', { sign: '', value: 'off' }] as [string, Flag]] : []),
    ...(vendor === undefined ? [] : [['vendor', { sign: '', value: vendor }] as [string, Flag]]),
  ]);
  const physical = settings['phys-bits'];
  return [
    name,
    ...(settings['level'] === undefined ? [] : [`level=${settings['level']}`]),
    ...[...flags]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([flagName, { sign, value }]) => `${sign}${flagName}${value === undefined ? '' : `=${value}`}`),
    ...(settings['guest-phys-bits'] === undefined ? [] : [`guest-phys-bits=${settings['guest-phys-bits']}`]),
    ...(physical === undefined ? [] : [physical === 'host' ? 'host-phys-bits=true' : `phys-bits=${physical}`]),
  ].join(',');
}

/** The value of `-device` for the CPU `number` of a machine that takes them one by one; the first one is 1. */
function cpuDevice(draft: Draft, number: number, cores: number): string {
  const core = (number - 1) % cores;
  const socket = Math.floor((number - 1) / cores);
  return `${modelOf(draft).name}-x86_64-cpu,id=cpu${number},socket-id=${socket},core-id=${core},thread-id=0`;
}

/** Whether the configuration lets devices of the kind be plugged into the running machine. */
export function plugs(values: Readonly<Record<string, string>>, kind: string): boolean {
  const { hotplug = '1' } = values;
  if (hotplug === '0') return false;
  return hotplug === '1' ? ['network', 'disk', 'usb'].includes(kind) : hotplug.split(/[,;\s]+/).includes(kind);
}

/** The CPUs of a configuration. */
export function topology(values: Readonly<Record<string, string>>): { sockets: number; cores: number; vcpus: number } {
  const sockets = Number(values['sockets'] ?? values['smp'] ?? 1);
  const cores = Number(values['cores'] ?? 1);
  return { sockets, cores, vcpus: Number(values['vcpus'] ?? sockets * cores) };
}

/**
 * Adds the CPUs.
 * @throws Error when they are more than the node has.
 */
export function addCpus(draft: Draft): void {
  const { sockets, cores, vcpus } = topology(draft.values);
  const all = sockets * cores;
  if (all > draft.host.cpus) throw new Error(`MAX ${draft.host.cpus} vcpus allowed per VM on this node`);
  const single = plugs(draft.values, 'cpu');
  draft.option('-smp', `${single ? 1 : vcpus},sockets=${sockets},cores=${cores},maxcpus=${all}`);
  if (!single) return;
  for (let number = 2; number <= vcpus; number += 1) draft.option('-device', cpuDevice(draft, number, cores));
}
