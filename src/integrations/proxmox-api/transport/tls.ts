import { X509Certificate } from 'node:crypto';
import { createSecureContext, TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';
import { failedPrecondition, invalidArgument } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import { readKeyFile } from '../auth/secret.ts';

/**
 * How the certificates of the hosts are checked; one way is required, and with both, both must hold. There is no way to
 * leave it out.
 */
export interface Trust {
  /** PEM of the authorities, or a file of it; a cluster's own is /etc/pve/pve-root-ca.pem. Names are checked as usual. */
  ca?: string | { file: string };
  /** SHA-256 fingerprints of the hosts' own certificates, as `GET /nodes` and the UI show them; any one must match. */
  fingerprints?: readonly string[];
}

/** How long a connection may take, in milliseconds. */
const CONNECT_MS = 10_000;

/**
 * What opens checked connections. Nothing is sent before the check.
 * @throws CriError INVALID_ARGUMENT without a way to check or for a malformed fingerprint; FAILED_PRECONDITION for an
 *   authority that cannot be read.
 */
export async function connectorOf(trust: Trust, connectMs = CONNECT_MS): Promise<buildConnector.connector> {
  const pins = (trust.fingerprints ?? []).map(normalize);
  const ca = trust.ca === undefined ? undefined : await readAuthority(trust.ca);
  if (pins.length === 0 && ca === undefined) {
    throw invalidArgument('trust', 'name an authority (ca) or the fingerprints of the certificates');
  }
  // A resumed session has no handshake that shows the certificate: with pins each connection makes a full one.
  const maxCachedSessions = pins.length > 0 ? 0 : 100;
  const usual = buildConnector({
    timeout: connectMs,
    allowH2: false,
    maxCachedSessions,
    rejectUnauthorized: ca !== undefined,
    ...(ca !== undefined && { secureContext: createSecureContext({ ca }) }),
  });
  if (pins.length === 0) return usual;
  return (options, callback) => {
    usual(options, (error, socket) => {
      if (error) return callback(error, null);
      const fingerprint = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.fingerprint256 : undefined;
      if (fingerprint !== undefined && pins.includes(fingerprint)) return callback(null, socket);
      socket.destroy();
      callback(
        new Error(`the certificate has the fingerprint ${fingerprint ?? 'of none'}, which is not trusted`),
        null,
      );
    });
  };
}

/** A fingerprint as Node.js writes it. @throws CriError INVALID_ARGUMENT. */
function normalize(fingerprint: string): string {
  const hex = fingerprint.replaceAll(/[:\s]/g, '').toUpperCase();
  if (!/^[0-9A-F]{64}$/.test(hex)) {
    throw invalidArgument('trust.fingerprints', `${JSON.stringify(fingerprint)} is not a SHA-256 fingerprint`);
  }
  return hex.replaceAll(/..(?=.)/g, '$&:');
}

async function readAuthority(ca: string | { file: string }): Promise<string> {
  const pem = typeof ca === 'string' ? ca : await readKeyFile(ca.file);
  const where = typeof ca === 'string' ? 'trust.ca' : ca.file;
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw failedPrecondition(`${where}: is not a PEM certificate: ${messageOf(error)}`, error);
  }
  return pem;
}
