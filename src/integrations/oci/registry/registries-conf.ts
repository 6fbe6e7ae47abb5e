import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import * as z from 'zod';
import { CriError, failedPrecondition, StatusCode } from '../../../core/model/errors.ts';
import { formatPlace, isErrno, messageOf } from '../../../utils/errors.ts';
import type { ImageReference } from '../../../core/model/image.ts';
import { type Endpoint, ownEndpoints } from './endpoints.ts';

const location = z.string().regex(/^[^\s@?#]*$/, 'must be HOST[:PORT][/PATH]');
const mirror = z.object({
  location: location.min(1),
  insecure: z.boolean().default(false),
  'pull-from-mirror': z.enum(['all', 'digest-only', 'tag-only', '']).default('all'),
});
const registry = z
  .object({
    prefix: z.string().default(''),
    location: location.default(''),
    insecure: z.boolean().default(false),
    blocked: z.boolean().default(false),
    'mirror-by-digest-only': z.boolean().default(false),
    mirror: z.array(mirror).default([]),
  })
  .transform((value) => ({ ...value, prefix: value.prefix || value.location }));
const schema = z.object({ registry: z.array(registry).default([]) });

/** A `[[registry]]`, and the file that it stands in. */
type Registry = z.output<typeof registry> & { file: string };

/**
 * Where containers-registries.conf(5) sends a pull, in order: mirrors, then the location; undefined when no `[[registry]]`
 * of the file or of `<file>.d/*.conf` is about it.
 * @throws CriError PERMISSION_DENIED for a blocked registry, FAILED_PRECONDITION for a file that cannot be read or used.
 */
export async function readRegistriesConf(file: string, reference: ImageReference): Promise<Endpoint[] | undefined> {
  const name = `${reference.registry}/${reference.repository}`;
  const byPrefix = new Map<string, Registry>();
  for (const path of [file, ...(await dropIns(`${file}.d`))]) {
    for (const each of await readFileOf(path)) byPrefix.set(each.prefix, each);
  }
  const matching = [...byPrefix.values()].flatMap((each) => {
    const length = matchLength(name, each.prefix);
    return length > 0 ? [{ each, length }] : [];
  });
  const [best] = matching.sort((a, b) => b.each.prefix.length - a.each.prefix.length);
  if (!best) return undefined;
  const { each, length } = best;
  if (each.blocked) {
    throw new CriError(StatusCode.PERMISSION_DENIED, `${name} is blocked by ${file} (registry ${each.prefix})`);
  }
  const rest = name.slice(length);
  const byDigest = each['mirror-by-digest-only'];
  const mirrors = each.mirror.flatMap((one) => {
    const pulls = byDigest ? 'digest-only' : one['pull-from-mirror'];
    return endpointsAt(one.location + rest, one.insecure, each).map((endpoint) => ({
      ...endpoint,
      isMirror: true,
      ...(pulls === 'digest-only' && { digestOnly: true }),
      ...(pulls === 'tag-only' && { tagOnly: true }),
    }));
  });
  const origin = each.location === '' ? name : each.location + rest;
  return [...mirrors, ...endpointsAt(origin, each.insecure, each)];
}

/** The endpoints of `host/repository`. @throws CriError FAILED_PRECONDITION for what is no address. */
function endpointsAt(name: string, insecure: boolean, { file, prefix }: Registry): Endpoint[] {
  const slash = name.indexOf('/');
  const host = slash < 0 ? name : name.slice(0, slash);
  const repository = slash < 0 ? '' : name.slice(slash + 1);
  // "https:///x" would be the host x.
  if (host === '' || !URL.canParse(`https://${host}`)) {
    const which = `registry ${JSON.stringify(prefix)}: ${JSON.stringify(name.slice(0, 300))}`;
    throw failedPrecondition(`${file}: ${which} is not the address of a registry; correct "location"`);
  }
  return ownEndpoints(host, insecure ? 'unverified' : undefined).map((each) => ({ ...each, repository }));
}

/**
 * The length of the name that the prefix covers; 0 when it does not match. `*.example.com` covers any host below it.
 */
function matchLength(name: string, prefix: string): number {
  if (prefix.startsWith('*.')) {
    const host = name.slice(0, name.indexOf('/'));
    return host.endsWith(prefix.slice(1)) && host.length > prefix.length - 1 ? host.length : 0;
  }
  if (prefix === '' || !name.startsWith(prefix)) return 0;
  return name.length === prefix.length || '/:@'.includes(name[prefix.length] ?? '') ? prefix.length : 0;
}

async function dropIns(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function readFileOf(path: string): Promise<Registry[]> {
  try {
    const { registry: registries } = schema.parse(parse(await readFile(path, 'utf8')));
    return registries.map((each) => ({ ...each, file: path }));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    const problem = issue ? `${formatPlace(issue.path)}: ${issue.message}` : messageOf(error).split('\n', 1)[0];
    throw failedPrecondition(`${path}: ${problem ?? 'malformed'}`, error);
  }
}
