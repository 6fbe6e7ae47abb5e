import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../../src/host/processes/run.ts';

/** A server's certificate for 127.0.0.1, and the authority that signed it. */
export interface Certificates {
  ca: string;
  caFile: string;
  key: string;
  cert: string;
  /** As Proxmox shows it: SHA-256 with colons. */
  fingerprint: string;
  /** An authority that signed nothing. */
  otherCa: string;
}

/** Makes certificates in a temporary directory, which `dispose` removes. */
export async function makeCertificates(): Promise<Certificates & { dispose: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'pve-certificates-'));
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  for (const name of ['ca', 'other']) {
    await openssl(
      'req',
      '-x509',
      ...fresh,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      '-subj',
      `/CN=${name} of a test`,
    );
  }
  await openssl(
    ...['req', '-x509', ...fresh, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', 'server.key', '-out', 'server.pem'],
    ...['-subj', '/CN=server', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-addext', 'basicConstraints=critical,CA:false'],
  );
  const [ca = '', otherCa = '', key = '', cert = ''] = await Promise.all(
    ['ca.pem', 'other.pem', 'server.key', 'server.pem'].map((name) => readFile(join(directory, name), 'utf8')),
  );
  return {
    ca,
    caFile: join(directory, 'ca.pem'),
    otherCa,
    key,
    cert,
    fingerprint: new X509Certificate(cert).fingerprint256,
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
}
