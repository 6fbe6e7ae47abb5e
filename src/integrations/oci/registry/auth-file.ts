import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { failedPrecondition } from '../../../core/model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import type { Credentials } from '../../../core/model/image.ts';

const entry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});
const schema = z.object({ auths: z.record(z.string(), entry).nullish() });

/**
 * The credentials for `host/repository` in files of containers-auth.json(5) or Docker's config.json, the most specific
 * entry of the first file that has one; undefined when none has. Missing files are skipped.
 * @throws CriError FAILED_PRECONDITION for a file that cannot be read; the message contains nothing of its content.
 */
export async function readAuthFiles(files: readonly string[], name: string): Promise<Credentials | undefined> {
  for (const file of files) {
    const auths = await readAuths(file);
    for (const key of keysFor(name)) {
      const found = auths.get(key);
      const credentials = found && toCredentials(found);
      if (credentials) return credentials;
    }
  }
  return undefined;
}

/**
 * Whether credentials of a request may be sent to a registry: those with another host (CRI AuthConfig.server_address)
 * are for that one only.
 */
export function isMeantFor(credentials: Credentials | undefined, registry: string): boolean {
  const address = credentials?.serverAddress?.trim() ?? '';
  if (address === '') return true;
  return hostOf(address) === hostOf(registry);
}

/** Host and port of an address or a name, without a default port. */
function hostOf(address: string): string {
  const scheme = /^(https?):\/\//i.exec(address)?.[1]?.toLowerCase();
  const host = normalise(address.toLowerCase()).split('/', 1)[0] ?? '';
  return host.replace(scheme === 'http' ? /:80$/ : /:443$/, '');
}

/** The name itself, then every part of its path, then the host. */
function keysFor(name: string): string[] {
  const keys: string[] = [];
  for (let key = name; key !== ''; key = key.slice(0, Math.max(key.lastIndexOf('/'), 0))) keys.push(key);
  return keys;
}

async function readAuths(file: string): Promise<Map<string, z.output<typeof entry>>> {
  let document: string;
  try {
    document = await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return new Map();
    throw failedPrecondition(`${file}: cannot be read: ${messageOf(error)}`, error);
  }
  let json: unknown;
  try {
    json = JSON.parse(document);
  } catch {
    // The parser's own messages quote its input, which is secret here.
    throw failedPrecondition(`${file}: is not a JSON document`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw failedPrecondition(`${file}: is not a credentials file (containers-auth.json(5))`);
  return new Map(Object.entries(parsed.data.auths ?? {}).map(([key, value]) => [normalise(key), value]));
}

/** Docker writes addresses instead of names, and Docker Hub's oldest one to this day. */
function normalise(key: string): string {
  const name = key.replace(/^https?:\/\//, '').replace(/\/(?:v1|v2)?\/?$/, '');
  return name.replace(/^(?:index\.docker\.io|registry-1\.docker\.io)(?=\/|$)/, 'docker.io');
}

function toCredentials(found: z.output<typeof entry>): Credentials | undefined {
  const { auth = '', username, password, identitytoken, registrytoken } = found;
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  const credentials: Credentials = {
    ...(colon >= 0 && { username: text.slice(0, colon), password: text.slice(colon + 1) }),
    ...(username && { username }),
    ...(password && { password }),
    ...(identitytoken && { identityToken: identitytoken }),
    ...(registrytoken && { registryToken: registrytoken }),
  };
  return Object.keys(credentials).length === 0 ? undefined : credentials;
}
