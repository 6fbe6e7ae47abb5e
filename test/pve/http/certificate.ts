import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Certificate and key in PEM, and the certificate's SHA-256 as Proxmox writes it. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  readonly fingerprint: string;
  /** The authority that signed it, PEM. */
  readonly authority: string;
}

const run = promisify(execFile);

/**
 * Makes a cluster's authority and a certificate for `node`, with the names that Proxmox puts there. Needs openssl.
 * @throws Error when openssl fails.
 */
export async function makeCertificate(node: string): Promise<Certificate> {
  const directory = await mkdtemp(join(tmpdir(), 'pve-node-'));
  const file = (name: string): string => join(directory, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];
  try {
    await run('openssl', [
      ...['req', '-x509', ...key, '-subj', '/CN=Proxmox Virtual Environment/OU=simulated/O=PVE Cluster Manager CA'],
      ...['-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', file('ca.key'), '-out', file('ca.pem')],
    ]);
    await run('openssl', [
      ...['req', '-x509', ...key, '-CA', file('ca.pem'), '-CAkey', file('ca.key')],
      ...['-subj', `/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN=${node}.invalid`],
      ...['-addext', `subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:${node},DNS:${node}.invalid`],
      ...['-addext', 'basicConstraints=CA:FALSE', '-keyout', file('node.key'), '-out', file('node.pem')],
    ]);
    const certificate = await readFile(file('node.pem'), 'utf8');
    return {
      certificate,
      key: await readFile(file('node.key'), 'utf8'),
      fingerprint: new X509Certificate(certificate).fingerprint256,
      authority: await readFile(file('ca.pem'), 'utf8'),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
