import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lxcConfig } from '../guest-config/lxc/config.ts';
import { LxcConfigFailure } from '../guest-config/lxc/surroundings.ts';
import type { GuestConfig, ProxmoxRelease } from '../guest-config/model.ts';
import { DEVICE } from '../guest-config/property-formats.ts';
import { parsePropertyString } from '../schema/check-value.ts';
import { surroundings } from './machine/surroundings.ts';

/** The devices of a guest by the property strings of its `devN`. */
export function devicesOf({ options }: Pick<GuestConfig, 'options'>): Record<string, string>[] {
  const keys = Object.keys(options).filter((key) => /^dev\d+$/.test(key));
  return keys.sort().map((key) => parsePropertyString(DEVICE, String(options[key])));
}

/**
 * Writes what Proxmox writes below `lxcPath/vmid` at each change and start of a container: LXC's configuration, and the
 * rules of system calls for an unprivileged one.
 * @param of `bare`: without limits.
 * @returns the guest's directory.
 * @throws LxcConfigFailure where Proxmox gives up.
 */
export function writeLxcFiles(
  config: GuestConfig,
  of: { vmid: number; version: ProxmoxRelease; lxcPath: string; bare?: boolean },
): string {
  const directory = join(of.lxcPath, String(of.vmid));
  mkdirSync(join(directory, 'rootfs'), { recursive: true, mode: 0o755 });
  const devices = devicesOf(config).flatMap(({ path }) => path ?? []);
  const made = lxcConfig(config, { ...of, surroundings: surroundings(of.lxcPath, devices) });
  if (made.seccompRules !== undefined) {
    const common = readFileSync('/usr/share/lxc/config/common.seccomp', 'utf8');
    writeFileSync(join(directory, 'rules.seccomp'), common + made.seccompRules);
  }
  if (made.failure !== undefined) throw new LxcConfigFailure(made.failure);
  const text = of.bare === true ? made.text?.replace(/^lxc\.cgroup2\..*\n/gm, '') : made.text;
  if (text !== undefined) writeFileSync(join(directory, 'config'), text);
  return directory;
}
