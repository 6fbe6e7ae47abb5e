import { isIPv4 } from 'node:net';

/** Other places to fetch a registry's images from. */
export interface Mirror {
  /** The registry's host as it stands in image names. */
  registry: string;
  /** Base addresses, tried in order. */
  endpoints: string[];
}

export interface Endpoint {
  /** Base address, ending in `/v2/`. */
  base: URL;
  isMirror: boolean;
}

/**
 * Where to ask for images of `registry`, in order: its mirrors, then itself. Plain HTTP is spoken to mirrors whose address
 * says so, to registries listed as insecure, and to this machine if it does not speak TLS.
 */
export function endpointsOf(registry: string, mirrors: readonly Mirror[], insecure: readonly string[]): Endpoint[] {
  const own = mirrors.filter((mirror) => mirror.registry === registry).flatMap((mirror) => mirror.endpoints);
  // Docker Hub's name is not its address.
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const schemes = insecure.includes(registry) ? ['http'] : isLoopback(registry) ? ['https', 'http'] : ['https'];
  return [
    ...own.map((endpoint) => ({ base: versioned(endpoint), isMirror: true })),
    ...schemes.map((scheme) => ({ base: versioned(`${scheme}://${host}`), isMirror: false })),
  ];
}

/** Appends `/v2/`, unless the address has it already, with a path below it. */
function versioned(address: string): URL {
  const url = new URL(address);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path === '/v2' || path.startsWith('/v2/') ? `${path}/` : `${path}/v2/`;
  return url;
}

function isLoopback(registry: string): boolean {
  const host = registry.replace(/:\d+$/, '');
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}
