import { chown, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { hostname as nodeHostname } from 'node:os';
import { join } from 'node:path';
import type { PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { isErrno } from '../../../utils/errors.ts';

/** Paths of the files every container of a pod sees, below the sandbox's run folder. */
export interface PodFiles {
  resolvConf: string;
  hostname: string;
  hosts: string;
  shm: string;
}

/** Where a sandbox's files are. */
export function podFiles(runDir: string): PodFiles {
  const folder = join(runDir, 'files');
  return {
    resolvConf: join(folder, 'resolv.conf'),
    hostname: join(folder, 'hostname'),
    hosts: join(folder, 'hosts'),
    shm: join(folder, 'shm'),
  };
}

/**
 * Writes resolv.conf, hostname and hosts of a pod. Without a DNS configuration the node's own resolv.conf is used, as
 * CRI says of dns_config. The kubelet mounts a hosts file of its own over ours. They belong to `owner`, whom the pod's
 * containers know as root.
 */
export async function writePodFiles(
  runDir: string,
  pod: { config: PodSandboxConfig; hostname: string; ips: readonly string[]; hostNetwork: boolean; owner: number },
): Promise<PodFiles> {
  const files = podFiles(runDir);
  // Containers with other user ids read these files through bind mounts: the modes are those of /etc.
  await mkdir(join(runDir, 'files'), { recursive: true, mode: 0o755 });
  const dns = pod.config.dnsConfig;
  if (dns === undefined) await copyOr(files.resolvConf, '/etc/resolv.conf', '');
  else await writeFile(files.resolvConf, resolvConf(dns), { mode: 0o644 });
  const name = pod.hostname || nodeHostname();
  await writeFile(files.hostname, `${name}\n`, { mode: 0o644 });
  if (pod.hostNetwork) await copyOr(files.hosts, '/etc/hosts', hostsFile(name, []));
  else await writeFile(files.hosts, hostsFile(name, pod.ips), { mode: 0o644 });
  for (const file of [files.resolvConf, files.hostname, files.hosts]) await chown(file, pod.owner, pod.owner);
  await mkdir(files.shm, { recursive: true, mode: 0o1777 });
  return files;
}

function resolvConf(dns: { servers: string[]; searches: string[]; options: string[] }): string {
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(' ')}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

function hostsFile(name: string, ips: readonly string[]): string {
  const local = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback'];
  return [...local, ...ips.map((ip) => `${ip}\t${name}`)].map((line) => `${line}\n`).join('');
}

async function copyOr(target: string, source: string, otherwise: string): Promise<void> {
  try {
    await copyFile(source, target);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    await writeFile(target, otherwise, { mode: 0o644 });
  }
}
