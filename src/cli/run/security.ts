import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  LinuxContainerSecurityContext,
  type SecurityProfile,
  SecurityProfile_ProfileType,
} from '../../../api/gen/cri.ts';
import { isErrno } from '../../utils/errors.ts';
import { type Input, UsageError } from '../command.ts';

/** Paths that the kubelet masks in a container whose procMount is Default (kubernetes/pkg/securitycontext). */
const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
/** Paths that the kubelet makes read-only in such a container. */
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const CPUS = '/sys/devices/system/cpu';

/** Applies the value of a security option. @throws UsageError for an invalid value. */
type Apply = (context: LinuxContainerSecurityContext, value: string, text: string) => void;

const OPTIONS: Record<string, Apply> = {
  seccomp: (context, value) => {
    context.seccomp = profile(value, (path) => resolve(path));
  },
  apparmor: (context, value) => {
    context.apparmor = profile(value, (name) => name);
  },
  systempaths: (context, value, text) => {
    if (value !== 'unconfined') throw wrong(text, 'the only value of systempaths is unconfined');
    context.maskedPaths = [];
    context.readonlyPaths = [];
  },
  'no-new-privileges': (context, value, text) => {
    if (value !== 'true' && value !== 'false') throw wrong(text, 'no-new-privileges must be true or false');
    context.noNewPrivs = value === 'true';
  },
};

/**
 * The security context of a container of `run`: seccomp and AppArmor RuntimeDefault, and the masked and read-only paths of
 * the kubelet, unless `--security-opt` or `--privileged` disables them. @throws UsageError for an unknown option.
 */
export async function securityContext(input: Input): Promise<LinuxContainerSecurityContext> {
  if (input.has('privileged')) return LinuxContainerSecurityContext.create({ privileged: true });
  const context = LinuxContainerSecurityContext.create({
    seccomp: profile('', String),
    apparmor: profile('', String),
    maskedPaths: [...MASKED_PATHS, ...(await thermalThrottlePaths())],
    readonlyPaths: READONLY_PATHS,
  });
  for (const text of input.list('security-opt')) {
    const [, name = '', value] = /^([\w-]+)(?:[=:](.*))?$/s.exec(text) ?? [];
    const apply = OPTIONS[name];
    const given = value ?? (name === 'no-new-privileges' ? 'true' : '');
    if (apply === undefined || given === '') throw wrong(text, `supported: ${KNOWN}`);
    apply(context, given, text);
  }
  return context;
}

const KNOWN =
  'seccomp=unconfined, seccomp=FILE, apparmor=unconfined, apparmor=PROFILE, systempaths=unconfined and no-new-privileges';

function wrong(text: string, remedy: string): UsageError {
  return new UsageError(`--security-opt: ${JSON.stringify(text)}: ${remedy}`);
}

/** '' is RuntimeDefault. */
function profile(value: string, localhostRef: (value: string) => string): SecurityProfile {
  const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
  if (value === '') return { profileType: RuntimeDefault, localhostRef: '' };
  if (value === 'unconfined') return { profileType: Unconfined, localhostRef: '' };
  return { profileType: Localhost, localhostRef: localhostRef(value) };
}

/** Additional paths that the kubelet masks where the machine has them. */
async function thermalThrottlePaths(): Promise<string[]> {
  try {
    const cpus = (await readdir(CPUS)).filter((name) => /^cpu\d+$/.test(name));
    const inside = await Promise.all(cpus.map(async (name) => [name, await readdir(`${CPUS}/${name}`)] as const));
    return inside
      .filter(([, names]) => names.includes('thermal_throttle'))
      .map(([name]) => `${CPUS}/${name}/thermal_throttle`);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
