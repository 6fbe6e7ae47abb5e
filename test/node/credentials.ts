import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../src/host/processes/run.ts';

/** The users of the API, with the groups that Kubernetes' own roles are bound to. */
const USERS = {
  admin: { user: 'admin', groups: 'system:masters' },
  'kube-controller-manager': { user: 'system:kube-controller-manager', groups: '' },
  'kube-scheduler': { user: 'system:kube-scheduler', groups: '' },
  'kube-proxy': { user: 'system:kube-proxy', groups: '' },
  coredns: { user: 'admin', groups: 'system:masters' },
  kubelet: { user: 'system:node:node1', groups: 'system:nodes' },
};

export type User = keyof typeof USERS;

/**
 * Writes ca.crt, the API server's server.crt and client.crt (for the kubelet), front-proxy.crt with a CA of its own, sa.key and
 * sa.pub, tokens.csv and a NAME.kubeconfig of each user into `directory`, valid for a year.
 * @param address IPv4 address of the API server, `service` that of its Service.
 */
export async function writeCredentials(directory: string, address: string, service: string): Promise<void> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  const authority = (name: string) =>
    openssl(
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '365', '-subj', `/CN=${name}`],
      ...['-keyout', `${name}.key`, '-out', `${name}.crt`],
    );
  const certificate = (ca: string, name: string, subject: string, ...extensions: string[]) =>
    openssl(
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '365', '-subj', subject],
      ...['-CA', `${ca}.crt`, '-CAkey', `${ca}.key`, '-keyout', `${name}.key`, '-out', `${name}.crt`],
      ...['basicConstraints=critical,CA:FALSE', ...extensions].flatMap((extension) => ['-addext', extension]),
    );
  await Promise.all([authority('ca'), authority('front-proxy-ca')]);
  const names = [
    'DNS:kubernetes',
    'DNS:kubernetes.default',
    'DNS:kubernetes.default.svc',
    'DNS:kubernetes.default.svc.cluster.local',
    `IP:${address}`,
    `IP:${service}`,
  ];
  await Promise.all([
    certificate(
      'ca',
      'server',
      '/CN=kube-apiserver',
      `subjectAltName=${names.join(',')}`,
      'extendedKeyUsage=serverAuth',
    ),
    certificate('ca', 'client', '/O=system:masters/CN=kube-apiserver-kubelet-client', 'extendedKeyUsage=clientAuth'),
    certificate('front-proxy-ca', 'front-proxy', '/CN=front-proxy-client', 'extendedKeyUsage=clientAuth'),
    openssl('genrsa', '-out', 'sa.key', '2048').then(() =>
      openssl('rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub'),
    ),
  ]);
  const lines = await Promise.all(
    Object.entries(USERS).map(async ([name, { user, groups }]) => {
      const token = randomBytes(16).toString('hex');
      // JSON is YAML.
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'node',
            cluster: { server: `https://${address}:6443`, 'certificate-authority': join(directory, 'ca.crt') },
          },
        ],
        users: [{ name, user: { token } }],
        contexts: [{ name: 'node', context: { cluster: 'node', user: name } }],
        'current-context': 'node',
      };
      await writeFile(join(directory, `${name}.kubeconfig`), JSON.stringify(config), { mode: 0o600 });
      return `${token},${user},${name},"${groups}"\n`;
    }),
  );
  await writeFile(join(directory, 'tokens.csv'), lines.join(''), { mode: 0o600 });
}
