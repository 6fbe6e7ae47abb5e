import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { invalidArgument } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';

/** PEM texts of a certificate chain and of the key to its first certificate. */
export interface Certificate {
  certificate: string;
  key: string;
}

/**
 * Reads the files that the settings streaming.tls_certificate and streaming.tls_key name.
 * @throws CriError INVALID_ARGUMENT naming the setting whose file cannot be read or holds no PEM that fits.
 */
export async function readCertificate(certificatePath: string, keyPath: string): Promise<Certificate> {
  const certificate = await readSetting('streaming.tls_certificate', certificatePath);
  const key = await readSetting('streaming.tls_key', keyPath);
  check('streaming.tls_certificate', `${certificatePath} is no certificate chain in PEM`, { cert: certificate });
  check('streaming.tls_key', `${keyPath} is no key in PEM`, { key });
  check('streaming.tls_key', `${keyPath} is not the key to ${certificatePath}`, { cert: certificate, key });
  return { certificate, key };
}

async function readSetting(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw invalidArgument(setting, `cannot be read: ${messageOf(error)}`);
  }
}

function check(setting: string, problem: string, parts: { cert?: string; key?: string }): void {
  try {
    createSecureContext(parts);
  } catch (error) {
    throw invalidArgument(setting, `${problem}: ${messageOf(error)}`);
  }
}
