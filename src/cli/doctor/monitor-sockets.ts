import { access, readFile } from 'node:fs/promises';
import { type Finding, ok, warning } from '../../core/model/finding.ts';

/** The control socket of a liblxc monitor below Debian's lxcpath, as /proc/net/unix shows an abstract address. */
const MONITOR = /@(\/var\/lib\/lxc\/\S+)\/command$/gm;

/** Where the kernel says that AppArmor mediates connections to unix sockets, by version of its network rules. */
const MEDIATION = ['network', 'network_v8', 'network_v9'].map(
  (version) => `/sys/kernel/security/apparmor/features/${version}/af_unix`,
);

/**
 * Whether a pod with the node's network can command the LXC containers of others, such as Proxmox's own: root there may
 * connect to the abstract sockets of their monitors, unless AppArmor refuses it.
 * @param sockets the abstract and other unix sockets of the node's network namespace.
 */
export async function checkMonitorSockets(sockets = '/proc/net/unix', mediation = MEDIATION): Promise<Finding> {
  const subject = 'monitors of other LXC containers';
  const addresses = [...(await readFile(sockets, 'utf8')).matchAll(MONITOR)].map(([, directory = '']) => directory);
  const containers = [...new Set(addresses)];
  if (containers.length === 0) return ok(subject, 'none');
  const found = `${String(containers.length)}, such as ${containers[0] ?? ''}`;
  const answers = await Promise.allSettled(mediation.map((path) => access(path)));
  if (answers.some(({ status }) => status === 'fulfilled')) return ok(subject, `${found}; protected by AppArmor`);
  return warning(
    subject,
    `${found}; root in a pod with hostNetwork can control them, as this kernel's AppArmor does not mediate unix sockets`,
    'admit pods with hostNetwork from trusted users only (Pod Security Standard "baseline")',
  );
}
