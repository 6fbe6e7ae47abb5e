import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import * as z from 'zod';
import { failedPrecondition } from '../../../core/model/errors.ts';
import { formatPlace, isErrno, messageOf } from '../../../utils/errors.ts';
import { type Endpoint, isLoopback, ownEndpoints, versioned } from './endpoints.ts';
import { readCertificateDirectory, readPems, type TlsSettings } from './tls.ts';

const text = z.string();
const oneOrMany = z.union([text, z.array(text)]).transform((value) => [value].flat());
// What node:http sends (RFC 9110, 5.1 and 5.5).
const headerName = text.regex(/^[\w!#$%&'*+.^`|~-]+$/, 'must be the name of an HTTP header');
const headerValue = oneOrMany.refine((values) => values.every(isSendable), 'must be printable, on one line');
const host = z.object({
  capabilities: z.array(text).default(['pull', 'resolve']),
  ca: oneOrMany.default([]),
  /** A file with certificate and key, or pairs of them. */
  client: z.union([text, z.array(z.union([text, z.array(text).min(1).max(2)]))]).optional(),
  skip_verify: z.boolean().default(false),
  override_path: z.boolean().default(false),
  header: z.record(headerName, headerValue).default({}),
});
const schema = host.extend({ server: text.optional(), host: z.record(text, host).default({}) });

type HostSettings = z.output<typeof host>;

/**
 * The settings of a registry in `<directory>/<registry>` (or else `_default`), in containerd's format: `hosts.toml`
 * with the endpoints in order, or only certificates as in Docker. undefined when there are none.
 * @throws CriError FAILED_PRECONDITION naming the file and its problem.
 */
export async function readCertsDirectory(directory: string, registry: string): Promise<Endpoint[] | undefined> {
  // containerd writes a port as `host_5000_` where colons are not allowed.
  const names = [registry, registry.replace(/:(\d+)$/, '_$1_'), '_default'];
  for (const name of names) {
    const own = join(directory, name);
    if (!(await isDirectory(own))) continue;
    const file = join(own, 'hosts.toml');
    const document = await readText(file);
    if (document !== undefined) return fromToml(file, own, document, registry);
    const tls = await readCertificateDirectory(own, registry);
    if (tls) return ownEndpoints(registry, undefined, tls);
  }
  return undefined;
}

async function fromToml(file: string, directory: string, document: string, registry: string): Promise<Endpoint[]> {
  let settings: z.output<typeof schema>;
  try {
    settings = schema.parse(parse(document));
  } catch (error) {
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    const message = issue?.code === 'invalid_key' ? issue.issues[0]?.message : issue?.message;
    const problem = issue ? `${formatPlace(issue.path)}: ${message ?? ''}` : messageOf(error).split('\n', 1)[0];
    throw failedPrecondition(`${file}: ${problem ?? 'malformed'}`, error);
  }
  const { server, host: hosts, ...own } = settings;
  const mirrors = await Promise.all(
    Object.entries(hosts).map(([address, each]) => endpoint(file, directory, address, each, registry, true)),
  );
  if (server !== undefined)
    return [...mirrors.flat(), ...(await endpoint(file, directory, server, own, registry, false))];
  const tls = await tlsOf(file, directory, registry, own);
  return [...mirrors.flat(), ...ownEndpoints(registry, own.skip_verify ? 'unverified' : undefined, tls)];
}

async function endpoint(
  file: string,
  directory: string,
  address: string,
  settings: HostSettings,
  registry: string,
  isMirror: boolean,
): Promise<Endpoint[]> {
  const { capabilities, override_path: overridePath, header } = settings;
  if (!capabilities.includes('pull')) return [];
  const bare = /^[^/]*/.exec(address)?.[0] ?? '';
  const whole = /^https?:\/\//.test(address) ? address : `${isLoopback(bare) ? 'http' : 'https'}://${address}`;
  const url = URL.parse(whole);
  if (!url)
    throw failedPrecondition(`${file}: ${JSON.stringify(address.slice(0, 300))} is not the address of a registry`);
  const base = overridePath ? new URL(url.href.replace(/\/*$/, '/')) : versioned(whole);
  const headers = Object.fromEntries(
    Object.entries(header).map(([name, values]) => [name.toLowerCase(), values.join(', ')]),
  );
  const tls = await tlsOf(file, directory, url.host, settings);
  return [
    {
      base,
      isMirror,
      headers,
      ...(tls && { tls }),
      ...(!capabilities.includes('resolve') && { digestOnly: true }),
      ...(isMirror && { namespace: registry }),
    },
  ];
}

async function tlsOf(
  file: string,
  directory: string,
  ofHost: string,
  { ca, client, skip_verify: skipVerify }: HostSettings,
): Promise<TlsSettings | undefined> {
  if (ca.length === 0 && client === undefined && !skipVerify) return undefined;
  const settings: TlsSettings = { host: ofHost, ca: await readPems(directory, ca), skipVerify };
  if (client === undefined) return settings;
  const pairs = (typeof client === 'string' ? [client] : client).map((each) => [each].flat());
  const [pair] = pairs;
  if (pairs.length > 1) throw failedPrecondition(`${file}: client: more than one client certificate is not supported`);
  const [cert = '', key = cert] = await readPems(directory, pair ?? []);
  return { ...settings, cert, key };
}

function isSendable(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
