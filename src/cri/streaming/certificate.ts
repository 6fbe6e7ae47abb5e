import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { invalidArgument } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';

/** A certificate chain and the private key of its first certificate, in PEM. */
export interface Certificate {
  certificate: string;
  key: string;
}

/**
 * Reads the files of streaming.tls_certificate and streaming.tls_key.
 * @throws CriError INVALID_ARGUMENT naming the key whose file cannot be read or is invalid.
 */
export async function readCertificate(certificatePath: string, keyPath: string): Promise<Certificate> {
  const certificate = await readSetting('streaming.tls_certificate', certificatePath);
  const key = await readSetting('streaming.tls_key', keyPath);
  check('streaming.tls_certificate', `${certificatePath} is not a PEM certificate chain`, { cert: certificate });
  check('streaming.tls_key', `${keyPath} is not a PEM private key`, { key });
  check('streaming.tls_key', `${keyPath} does not match ${certificatePath}`, { cert: certificate, key });
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
