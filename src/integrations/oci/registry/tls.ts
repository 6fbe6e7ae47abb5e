import { readdir, readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { failedPrecondition } from '../../../core/model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';

/** The TLS settings of one host. Certificates and keys are PEM strings. */
export interface TlsSettings {
  /** The host (with port) they are for; elsewhere, as after a redirect, only the authorities are used. */
  host: string;
  /** Trusted authorities in addition to the machine's own. */
  ca: string[];
  cert?: string;
  key?: string;
  /** The host's certificate is not checked. */
  skipVerify: boolean;
}

/** The part of the settings that may be used with `host`. */
export function settingsFor(settings: TlsSettings | undefined, host: string): TlsSettings | undefined {
  if (!settings || settings.host === host) return settings;
  return settings.ca.length === 0 ? undefined : { host, ca: settings.ca, skipVerify: false };
}

/** Options of tls.connect. @throws CriError FAILED_PRECONDITION for certificates that cannot be used. */
export function tlsOptions(settings: TlsSettings | undefined): {
  secureContext: SecureContext;
  rejectUnauthorized: boolean;
} {
  if (!settings) return { secureContext: usualContext(), rejectUnauthorized: true };
  const { ca, cert, key, skipVerify, host } = settings;
  try {
    const secureContext = createSecureContext({
      ca: [...machineAuthorities(), ...ca],
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
    return { secureContext, rejectUnauthorized: !skipVerify };
  } catch (error) {
    throw failedPrecondition(`registry ${host}: invalid certificates: ${messageOf(error)}`, error);
  }
}

let usual: SecureContext | undefined;

/** Created once: reading all authorities is slow. */
function usualContext(): SecureContext {
  usual ??= createSecureContext({ ca: machineAuthorities() });
  return usual;
}

let authorities: string[] | undefined;

/** Node.js's own authorities and those that the operator installed (update-ca-certificates). */
function machineAuthorities(): string[] {
  authorities ??= [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
  return authorities;
}

/** Reads PEM files, relative ones below `directory`. @throws CriError FAILED_PRECONDITION that names the file. */
export function readPems(directory: string, paths: readonly string[]): Promise<string[]> {
  return Promise.all(
    paths.map(async (path) => {
      const whole = isAbsolute(path) ? path : join(directory, path);
      try {
        return await readFile(whole, 'utf8');
      } catch (error) {
        throw failedPrecondition(`${whole}: cannot be read: ${messageOf(error)}`, error);
      }
    }),
  );
}

/** Docker's convention: `*.crt` are authorities, `NAME.cert` with `NAME.key` the client's (docker certs.d). */
export async function readCertificateDirectory(directory: string, host: string): Promise<TlsSettings | undefined> {
  let names: string[];
  try {
    names = (await readdir(directory)).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  const ca = await readPems(
    directory,
    names.filter((name) => name.endsWith('.crt')),
  );
  const client = names.find((name) => name.endsWith('.cert'));
  if (client === undefined) return ca.length === 0 ? undefined : { host, ca, skipVerify: false };
  const [cert = '', key = ''] = await readPems(directory, [client, client.replace(/\.cert$/, '.key')]);
  return { host, ca, cert, key, skipVerify: false };
}
