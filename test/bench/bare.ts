import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS } from '../lib/eventually.ts';
import { unpackBusybox } from './bench-images.ts';
import type { Contender } from './contender.ts';
import { WORKLOAD } from './requests.ts';
import type { Liver } from './sections.ts';

/**
 * The same parts without a server, by `bare.c`: namespaces, CNI plugins, a mount, conmon and crun. Its network and cgroup are
 * those of `place`, a contender that is not started.
 */
export async function bareLiver(place: Contender, runtime: string, hasConmon: boolean): Promise<Liver> {
  const { directory, cgroup } = place;
  const [program, lower] = [join(directory, 'bare'), join(directory, 'lower')];
  await run('cc', ['-O2', '-o', program, resolve('test/bench/bare.c')]);
  await mkdir(lower);
  await unpackBusybox(lower);
  const [bridge, portmap] = place.pluginConfigs();
  const [crun, conmon] = (
    await Promise.all([runtime, 'conmon'].map((name) => run('sh', ['-c', `command -v ${name}`])))
  ).map(({ stdout }) => stdout.trim()) as [string, string];
  await writeFile(join(directory, 'bridge.json'), bridge);
  await writeFile(join(directory, 'portmap.json'), portmap);
  for (const isHostNetwork of [false, true])
    await writeFile(
      join(directory, configName(isHostNetwork)),
      JSON.stringify(ociConfig(`${cgroup}/pods`, isHostNetwork)),
    );
  return {
    name: place.name,
    cpuMs: () => place.cpuMs(),
    async lives(names, together, { isHostNetwork = false }, took) {
      const own = await mkdtemp(join(directory, 'lives-'));
      const plugins = isHostNetwork ? ['-', '-'] : [join(directory, 'bridge.json'), join(directory, 'portmap.json')];
      const config = join(directory, configName(isHostNetwork));
      const args = [
        String(names.length),
        together ? 'together' : 'apart',
        own,
        lower,
        config,
        ...plugins,
        crun,
        hasConmon ? conmon : '-',
      ];
      const { stdout } = await run(...place.inCgroup([program, ...args]), { timeoutMs: HANG_MS });
      for (const line of stdout.trim().split('\n')) {
        const [ms, ...what] = line.split(' ');
        took(what.join(' '), Number(ms));
      }
    },
  };
}

const configName = (isHostNetwork: boolean) => (isHostNetwork ? 'host.json' : 'pod.json');

function ociConfig(cgroupParent: string, isHostNetwork: boolean): object {
  const namespaces = [
    { type: 'pid' },
    { type: 'mount' },
    { type: 'ipc', path: '@DIR@/ipc' },
    ...(isHostNetwork
      ? []
      : [
          { type: 'uts', path: '@DIR@/uts' },
          { type: 'network', path: '@DIR@/net' },
        ]),
  ];
  const capabilities = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETGID', 'CAP_SETUID', 'CAP_NET_BIND_SERVICE'];
  const flags = ['nosuid', 'noexec', 'nodev'];
  return {
    ociVersion: '1.0.0',
    root: { path: '@DIR@/rootfs' },
    process: {
      cwd: '/',
      args: WORKLOAD,
      env: [
        'PATH=/bin',
        ...Array.from({ length: 20 }, (_, index) => `SERVICE_${String(index)}_PORT=tcp://10.96.0.1:443`),
      ],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      oomScoreAdj: 985,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: flags },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...flags, 'mode=1777'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: flags },
      { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'ro'] },
      { destination: '/var/run/secret', type: 'bind', source: '/tmp', options: ['rbind', 'ro'] },
      { destination: '/var/run/config', type: 'bind', source: '/tmp', options: ['rbind', 'ro'] },
    ],
    linux: {
      cgroupsPath: `${cgroupParent}/@ID@`,
      namespaces,
      resources: { cpu: { shares: 102 }, memory: { limit: 256 * 2 ** 20 } },
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/scsi'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}
