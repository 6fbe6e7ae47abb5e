import { access, constants, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../core/config/schema.ts';
import { isOnlyForPods } from '../../core/model/network-plugins.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { type Finding, missing, ok, warning } from '../../core/model/finding.ts';

/** The CNI configuration, its plugins, and forwarding, which all pods without host network need. */
export async function checkNetwork({ network }: Config): Promise<Finding[]> {
  const forwarding = (await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')).trim() === '1';
  return [
    ...(await checkConfiguration(network)),
    forwarding
      ? ok('IPv4 forwarding', 'on')
      : warning('IPv4 forwarding', 'off; pods cannot reach other hosts', 'sysctl -w net.ipv4.ip_forward=1'),
  ];
}

async function checkConfiguration(network: Config['network']): Promise<Finding[]> {
  const { config_dir: directory, plugin_dirs: pluginDirs, conf_template: template, prepared } = network;
  const subject = 'CNI configuration';
  const install = 'install a network add-on, or write a configuration';
  try {
    const [first] = (await readdir(directory)).filter((name) => /\.(conflist|conf|json)$/.test(name)).sort();
    if (first === undefined && template !== '') {
      return [
        warning(subject, `none yet; written from ${template} when the kubelet sends the range of pod addresses`, ''),
      ];
    }
    if (first === undefined) return [missing(subject, `no *.conflist in ${directory}`, install)];
    const file = join(directory, first);
    const types = pluginTypes(JSON.parse(await readFile(file, 'utf8')));
    if (types.length === 0) return [missing(subject, `${file} names no plugins`, 'correct the file')];
    return [
      ok(subject, `${file} (${types.join(', ')})`),
      ...(prepared > 0 ? [checkPrepared(types)] : []),
      ...(await Promise.all(types.map((type) => checkPlugin(type, pluginDirs)))),
    ];
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [missing(subject, `${directory} does not exist`, install)];
    return [missing(subject, messageOf(error), 'correct the file')];
  }
}

/** Whether networks can be prepared ahead of their pods. */
function checkPrepared(types: readonly string[]): Finding {
  const others = types.filter(isOnlyForPods);
  if (others.length === 0) return ok('prepared networks', 'possible with these plugins');
  return warning('prepared networks', `none: ${others.join(', ')} may look at the pod`, 'set network.prepared to 0');
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

async function checkPlugin(type: string, directories: readonly string[]): Promise<Finding> {
  for (const directory of directories) {
    const path = join(directory, type);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return ok(`CNI plugin ${type}`, path);
  }
  return missing(
    `CNI plugin ${type}`,
    `not found in ${directories.join(', ')}`,
    'apt-get install containernetworking-plugins, or install the add-on that provides it',
  );
}
