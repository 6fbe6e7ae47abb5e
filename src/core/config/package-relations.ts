import { programs } from './programs.ts';
import { configSchema } from './schema.ts';

/** Packages that every Debian system has (dpkg's Essential), and the init system, which no package should bring. */
const PRESENT = ['coreutils', 'dash', 'findutils', 'systemd', 'tar', 'util-linux'];
/** Without these, less works: signatures are not checked, containers have no AppArmor profile. */
const RECOMMENDED = ['apparmor', 'skopeo'];
/** What no line of the table names: plugins of pod networks, and newuidmap, which liblxc runs. */
const OTHERS = ['containernetworking-plugins', 'uidmap'];

/**
 * Depends and Recommends of the Debian package, as lines of its control file: all programs of the table that `doctor` checks.
 * Proxmox VE has an LXC of its own, which Debian's would remove.
 */
export function packageRelations(): string {
  const packages = programs(configSchema().parse({}), false).map(({ package: name }) => name);
  const wanted = [...new Set([...packages, ...OTHERS])].filter((name) => !PRESENT.includes(name)).sort();
  const isRecommended = (name: string) => RECOMMENDED.includes(name);
  const depends = wanted
    .filter((name) => !isRecommended(name))
    .map((name) => (name === 'lxc' ? 'lxc-pve | lxc' : name));
  return `Depends: ${depends.join(', ')}\nRecommends: ${wanted.filter(isRecommended).join(', ')}\n`;
}
