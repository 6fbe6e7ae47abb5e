import type { Credentials, ImageReference } from '../../../core/model/image.ts';
import { isMeantFor, readAuthFiles } from './auth-file.ts';
import { type Endpoint, type Mirror, mirrorsOf, ownEndpoints } from './endpoints.ts';
import { readCertsDirectory } from './hosts-toml.ts';
import { readRegistriesConf } from './registries-conf.ts';

/** The operator's settings of registries. Files are read at every pull, so that a change needs no restart. */
export interface RegistrySettings {
  mirrors?: readonly Mirror[];
  /** Registry hosts with plain HTTP. */
  insecureRegistries?: readonly string[];
  /** Directories with one directory per registry: hosts.toml or certificates. The first match is used. */
  certsDirs?: readonly string[];
  /** containers-registries.conf(5); "": none. */
  registriesConf?: string;
  /** containers-auth.json(5), the first with an entry for a registry is used. */
  authFiles?: readonly string[];
}

/** Endpoints and credentials. */
export interface Place {
  endpoint: Endpoint;
  repository: string;
  credentials: Credentials | undefined;
}

/**
 * The endpoints of an image, in order: mirrors of the configuration, then those of hosts.toml; without it, of
 * registries.conf; else the registry itself. The request's credentials are sent to the registry only; those of files
 * for a host, to that host.
 * @throws CriError FAILED_PRECONDITION for a file that cannot be used, PERMISSION_DENIED for a blocked registry.
 */
export async function placesOf(
  reference: ImageReference,
  given: Credentials | undefined,
  settings: RegistrySettings,
): Promise<Place[]> {
  const { mirrors = [], insecureRegistries = [], certsDirs = [], registriesConf = '', authFiles = [] } = settings;
  const { registry, repository } = reference;
  const own =
    (await firstCertsDirectory(certsDirs, registry)) ??
    (registriesConf === '' ? undefined : await readRegistriesConf(registriesConf, reference)) ??
    ownEndpoints(registry, insecureRegistries.includes(registry) ? 'http' : undefined);
  const all = [...mirrorsOf(registry, mirrors), ...own];
  const endpoints = reference.digest === undefined ? all : all.filter((each) => each.tagOnly !== true);
  return Promise.all(
    endpoints.map(async (endpoint) => {
      const there = endpoint.repository ?? repository;
      const name = endpoint.isMirror ? `${endpoint.base.host}/${there}` : `${registry}/${repository}`;
      const shown = endpoint.isMirror || !isMeantFor(given, registry) ? undefined : given;
      return { endpoint, repository: there, credentials: shown ?? (await readAuthFiles(authFiles, name)) };
    }),
  );
}

async function firstCertsDirectory(directories: readonly string[], registry: string): Promise<Endpoint[] | undefined> {
  for (const directory of directories) {
    const found = await readCertsDirectory(directory, registry);
    if (found) return found;
  }
  return undefined;
}
