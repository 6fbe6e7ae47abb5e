import { access, constants, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../core/config/schema.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { type Finding, missing, ok, warning } from './finding.ts';

/** The CNI configuration, the plugins it names, and forwarding. Only pods of the host network do without them. */
export async function checkNetwork({ network }: Config): Promise<Finding[]> {
  const forwarding = (await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')).trim() === '1';
  return [
    ...(await checkConfiguration(network)),
    forwarding
      ? ok('IPv4 forwarding', 'on')
      : warning('IPv4 forwarding', 'off: pods reach nothing beyond this node', 'sysctl -w net.ipv4.ip_forward=1'),
  ];
}

async function checkConfiguration(network: Config['network']): Promise<Finding[]> {
  const { config_dir: folder, plugin_dirs: pluginDirs, conf_template: template } = network;
  const subject = 'CNI configuration';
  const install = 'install a network add-on, which writes one, or write one by hand';
  try {
    const [first] = (await readdir(folder)).filter((name) => /\.(conflist|conf|json)$/.test(name)).sort();
    if (first === undefined && template !== '') {
      return [warning(subject, `none yet: ${template} is filled in when the kubelet tells the range of pods`, '')];
    }
    if (first === undefined) return [missing(subject, `no *.conflist in ${folder}`, install)];
    const file = join(folder, first);
    const types = pluginTypes(JSON.parse(await readFile(file, 'utf8')));
    if (types.length === 0) return [missing(subject, `${file} names no plugins`, 'correct the file')];
    return [
      ok(subject, `${file} (${types.join(', ')})`),
      ...(await Promise.all(types.map((type) => checkPlugin(type, pluginDirs)))),
    ];
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [missing(subject, `there is no ${folder}`, install)];
    return [missing(subject, messageOf(error), 'correct the file')];
  }
}

function pluginTypes(document: unknown): string[] {
  if (typeof document !== 'object' || document === null) return [];
  const plugins: unknown = 'plugins' in document ? document.plugins : [document];
  if (!Array.isArray(plugins)) return [];
  const types = plugins.flatMap((plugin: unknown) => {
    const isNamed = typeof plugin === 'object' && plugin !== null && 'type' in plugin;
    return isNamed && typeof plugin.type === 'string' ? [plugin.type, ...ipamOf(plugin)] : [];
  });
  return [...new Set(types)];
}

function ipamOf(plugin: object): string[] {
  const ipam: unknown = 'ipam' in plugin ? plugin.ipam : undefined;
  if (typeof ipam !== 'object' || ipam === null || !('type' in ipam) || typeof ipam.type !== 'string') return [];
  return [ipam.type];
}

async function checkPlugin(type: string, folders: readonly string[]): Promise<Finding> {
  for (const folder of folders) {
    const path = join(folder, type);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return ok(`CNI plugin ${type}`, path);
  }
  return missing(
    `CNI plugin ${type}`,
    `in none of ${folders.join(', ')}`,
    'apt-get install containernetworking-plugins, or install the add-on that brings it',
  );
}
