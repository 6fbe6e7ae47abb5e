import { isIPv4 } from 'node:net';
import type { TlsSettings } from './tls.ts';

/** Alternative endpoints of a registry's images. */
export interface Mirror {
  /** The registry's host as it stands in image names. */
  registry: string;
  /** Base addresses, tried in order. */
  endpoints: string[];
}

/** One endpoint of a repository. */
export interface Endpoint {
  /** Base address, ending in `/`; below it `<repository>/manifests/…` is found. */
  base: URL;
  isMirror: boolean;
  /** The repository's name there, when it has another one. */
  repository?: string;
  tls?: TlsSettings;
  /** Sent with every request to this host, names in lower case. */
  headers?: Record<string, string>;
  /** Used for requests by digest only. */
  digestOnly?: boolean;
  /** Used for requests by tag only. */
  tagOnly?: boolean;
  /** Query appended to addresses: names the registry for a mirror of several registries. */
  namespace?: string;
}

/** The mirrors of the configuration for `registry`; plain HTTP is used for those with an http address. */
export function mirrorsOf(registry: string, mirrors: readonly Mirror[]): Endpoint[] {
  const own = mirrors.filter((mirror) => mirror.registry === registry).flatMap((mirror) => mirror.endpoints);
  return own.map((endpoint) => ({ base: versioned(endpoint), isMirror: true }));
}

/**
 * The registry itself. `http`: over plain HTTP; `unverified`: its certificate is not checked, and plain HTTP is tried
 * too. Else plain HTTP is used only for this machine, when it does not support TLS.
 */
export function ownEndpoints(registry: string, insecure?: 'http' | 'unverified', tls?: TlsSettings): Endpoint[] {
  // Docker Hub's name is not its address.
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const lax: TlsSettings = { ca: [], ...tls, host, skipVerify: true };
  const secure: Endpoint = { base: versioned(`https://${host}`), isMirror: false };
  const plain: Endpoint = { base: versioned(`http://${host}`), isMirror: false };
  if (insecure === 'http') return [plain];
  if (insecure === 'unverified') return [{ ...secure, tls: lax }, plain];
  return [{ ...secure, ...(tls && { tls: { ...tls, host } }) }, ...(isLoopback(registry) ? [plain] : [])];
}

/** Appends `/v2/`, unless the address has it already, with a path below it. */
export function versioned(address: string): URL {
  const url = new URL(address);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith('/v2') || path.includes('/v2/') ? `${path}/` : `${path}/v2/`;
  return url;
}

/** Whether a host (with port) is this machine. */
export function isLoopback(registry: string): boolean {
  const host = registry.replace(/:\d+$/, '');
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}
