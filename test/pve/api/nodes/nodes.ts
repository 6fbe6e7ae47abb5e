import { X509Certificate } from 'node:crypto';
import { hostCpus } from '../../guests/status.ts';
import { fault } from '../../http/api-error.ts';
import { required, text } from '../params/property.ts';
import type { Call, Method } from '../method.ts';

const indexed = [
  'aplinfo',
  'apt',
  'capabilities',
  'ceph',
  'certificates',
  'config',
  'disks',
  'dns',
  'firewall',
  'hardware',
  'hosts',
  'journal',
  'lxc',
  'migrateall',
  'netstat',
  'network',
  'qemu',
  'query-oci-repo-tags',
  'query-url-metadata',
  'replication',
  'report',
  'rrd',
  'rrddata',
  'scan',
  'sdn',
  'services',
  'spiceshell',
  'startall',
  'status',
  'stopall',
  'storage',
  'subscription',
  'suspendall',
  'syslog',
  'tasks',
  'termproxy',
  'time',
  'version',
  'vncshell',
  'vzdump',
  'wakeonlan',
];

function uptime({ state }: Call): number {
  return Math.floor((Date.now() - state.booted) / 1000);
}

function list(call: Call): Record<string, unknown>[] {
  const { state } = call;
  return state.nodes.map((node) => ({
    id: `node/${node}`,
    type: 'node',
    node,
    ssl_fingerprint: state.fingerprints.get(node),
    ...(state.statistics
      ? {
          status: state.down.has(node) ? 'offline' : 'online',
          cpu: 0,
          maxcpu: hostCpus,
          mem: 1_163_980_800,
          maxmem: 25_276_514_304,
          uptime: uptime(call),
          level: '',
        }
      : { status: 'unknown' }),
  }));
}

function status(call: Call): Record<string, unknown> {
  const { state } = call;
  const kernel = { sysname: 'Linux', release: '6.17.2-1-pve', version: '#1 SMP PREEMPT_DYNAMIC', machine: 'x86_64' };
  return {
    uptime: uptime(call),
    kversion: `${kernel.sysname} ${kernel.release} ${kernel.version}`,
    'current-kernel': kernel,
    'boot-info': { mode: 'legacy-bios' },
    pveversion: `pve-manager/${state.version.version}/${state.version.repoid}`,
    cpu: 0,
    wait: 0,
    idle: 0,
    loadavg: ['0.00', '0.01', '0.05'],
    ksm: { shared: 0 },
    memory: {
      used: 1_163_980_800,
      total: 25_276_514_304,
      free: 18_925_772_800,
      ...(state.nine ? { available: 24_112_533_504 } : {}),
    },
    swap: { used: 0, total: 0, free: 0 },
    rootfs: { total: 270_553_174_016, avail: 70_598_369_280, used: 38_345_924_608, free: 232_207_249_408 },
    cpuinfo: {
      cpus: hostCpus,
      cores: hostCpus,
      sockets: 1,
      model: 'Simulated CPU',
      vendor: 'GenuineIntel',
      family: '6',
      mhz: '2500.000',
      hvm: '',
      flags: 'fpu sse sse2',
      user_hz: 100,
    },
  };
}

function certificates({ state, node }: Call): Record<string, unknown>[] {
  const pem = state.certificates.get(node) ?? '';
  if (pem === '') throw fault(`unable to read certificate of node '${node}'`);
  const certificate = new X509Certificate(pem);
  return [
    {
      filename: 'pve-ssl.pem',
      fingerprint: certificate.fingerprint256,
      issuer: certificate.issuer,
      subject: certificate.subject,
      notbefore: Math.floor(certificate.validFromDate.getTime() / 1000),
      notafter: Math.floor(certificate.validToDate.getTime() / 1000),
      'public-key-type': 'id-ecPublicKey',
      'public-key-bits': 256,
      san: (certificate.subjectAltName ?? '').split(', '),
      pem,
    },
  ];
}

/** Nodes and what they are. */
export const nodeMethods: readonly Method[] = [
  { verb: 'GET', path: '/nodes', permission: 'all', handle: list },
  {
    verb: 'GET',
    path: '/nodes/{node}',
    permission: 'all',
    handle: ({ state }) =>
      indexed.filter((name) => state.nine || name !== 'query-oci-repo-tags').map((name) => ({ name })),
  },
  { verb: 'GET', path: '/nodes/{node}/version', permission: 'all', handle: ({ state }) => state.version },
  {
    verb: 'GET',
    path: '/nodes/{node}/status',
    permission: { path: '/nodes/{node}', privileges: ['Sys.Audit'] },
    handle: status,
  },
  { verb: 'GET', path: '/nodes/{node}/certificates/info', permission: 'all', handle: certificates },
  {
    verb: 'POST',
    path: '/nodes/{node}/execute',
    permission: 'root',
    protected: true,
    parameters: { commands: required(text()) },
    handle: () => {
      throw fault('the simulated node runs no batches of calls');
    },
  },
];
