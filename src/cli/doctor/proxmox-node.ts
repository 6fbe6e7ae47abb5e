import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { type Finding, missing, ok, warning } from '../../core/model/finding.ts';
import { type CgroupLayout, cgroupHierarchies, layoutOf } from '../../host/cgroup/hierarchies.ts';
import { hasSpan, type IdSpan, subordinateIds } from '../../host/subordinate-ids.ts';
import { exists } from '../../utils/fs/exists.ts';

/**
 * The ids that the kubelet gives to pods with user namespaces unless the node has a user `kubelet` with others: 65,536 to each
 * of 110 pods.
 */
const OF_KUBELET: IdSpan = { first: 65_536, count: 110 * 65_536 };

/** This machine; a test has its own. */
export interface Machine {
  name: string;
  /** Directory that has its files. */
  root: string;
  cgroups: () => Promise<CgroupLayout>;
}

const HERE: Machine = { name: hostname(), root: '', cgroups: async () => layoutOf(await cgroupHierarchies()) };

/**
 * What guests of Proxmox that are pods need of the machine that this server runs on: that it is the node, with the cluster's
 * file system, cgroup v2, AppArmor, and ids of root for user namespaces. On another machine it is the only finding.
 */
export async function checkProxmoxNode(node: string, machine: Machine = HERE): Promise<Finding[]> {
  const { root } = machine;
  const subject = 'Proxmox on this machine';
  const own = machine.name.split('.', 1)[0] ?? '';
  if (own !== node) {
    const remedy = 'run the server on that node, or set proxmox.node to the node that this machine is';
    return [warning(subject, `this machine is ${own}, not ${node}, on which the guests of pods are made`, remedy)];
  }
  return [
    (await exists(`${root}/etc/pve/nodes/${node}`))
      ? ok(subject, '/etc/pve is mounted')
      : {
          ...missing(subject, '/etc/pve is not mounted', 'start the file system of the cluster:'),
          commands: ['systemctl start pve-cluster'],
        },
    await checkCgroups(machine),
    await checkAppArmor(root),
    await checkIds(root),
  ];
}

async function checkCgroups({ root, cgroups }: Machine): Promise<Finding> {
  const subject = 'Proxmox cgroups';
  const layout = await cgroups().catch(() => 'none');
  if (layout === 'unified') return ok(subject, 'v2');
  const found = `${layout}: guests that are pods need cgroup v2 alone`;
  return withoutOption(root, missing(subject, found, 'boot with cgroup v2'), 'systemd.unified_cgroup_hierarchy=0');
}

async function checkAppArmor(root: string): Promise<Finding> {
  const subject = 'Proxmox AppArmor';
  const enabled = await readOr(`${root}/sys/module/apparmor/parameters/enabled`);
  if (enabled.startsWith('Y')) return ok(subject, 'enabled');
  const found = 'disabled: Proxmox and this server confine containers by its profiles';
  return withoutOption(root, warning(subject, found, 'boot a kernel of Proxmox with AppArmor'), 'apparmor=0');
}

/** The finding with the lines that remove `option` from the kernel's command line, where it is the reason. */
async function withoutOption(root: string, finding: Finding, option: string): Promise<Finding> {
  const words = (await readOr(`${root}/proc/cmdline`)).trim().split(/\s+/);
  if (!words.includes(option)) return finding;
  // Proxmox's own boot tool, or GRUB alone.
  const isOwn = await exists(`${root}/etc/kernel/cmdline`);
  const [file, apply] = isOwn
    ? ['/etc/kernel/cmdline', 'proxmox-boot-tool refresh']
    : ['/etc/default/grub', 'update-grub'];
  const remedy = `remove ${option} from the command line of the kernel, and reboot:`;
  return { ...finding, remedy, commands: [`sed -i 's/ *${option.replaceAll('.', String.raw`\.`)}//' ${file}`, apply] };
}

/** newuidmap, which lxc-start runs on a node, maps only ids that root's lines have (subuid(5)). */
async function checkIds(root: string): Promise<Finding> {
  const subject = 'Proxmox user namespaces';
  const lacks: { file: string; span: IdSpan }[] = [];
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    const text = await readOr(`${root}${file}`);
    const kubelet = subordinateIds(text, ['kubelet']);
    for (const span of kubelet.length > 0 ? kubelet : [OF_KUBELET])
      if (!hasSpan(subordinateIds(text, ['root', '0']), span)) lacks.push({ file, span });
  }
  if (lacks.length === 0) return ok(subject, "root may map the kubelet's ids");
  const found = lacks
    .map(({ file, span }) => `${file} does not give root ${String(span.first)}-${String(span.first + span.count - 1)}`)
    .join(', ');
  const without = `${found}, which the kubelet gives to pods: those with hostUsers: false do not start`;
  return {
    ...warning(subject, without, 'add the lines:'),
    commands: lacks.map(({ file, span }) => `echo root:${String(span.first)}:${String(span.count)} >> ${file}`),
  };
}

/** The content of a file; '' for one that cannot be read. */
async function readOr(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
