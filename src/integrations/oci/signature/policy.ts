import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { formatPlace, isErrno, messageOf } from '../../../utils/errors.ts';
import type { ImageReference } from '../../../core/model/image.ts';

const requirements = z.array(z.looseObject({ type: z.string() })).min(1);
const schema = z.object({
  default: requirements,
  transports: z.record(z.string(), z.record(z.string(), requirements)).default({}),
});

/** The requirement of containers-policy.json(5) for an image: none, a signature, or rejection. */
export type Verdict = 'accept' | 'verify' | 'reject';

/** UNKNOWN with the prefix by which the kubelet recognizes an untrusted image (cri-api, pkg/errors). */
export function untrusted(message: string, cause?: unknown): CriError {
  return new CriError(StatusCode.UNKNOWN, `SignatureValidationFailed: ${message}`, { cause });
}

/**
 * The policy's requirement for an image of a registry (transport `docker`), from the most specific scope; undefined
 * when there is no policy file.
 * @throws CriError "SignatureValidationFailed: …" for a file that cannot be read: then nothing is trusted.
 */
export async function readVerdict(file: string, reference: ImageReference): Promise<Verdict | undefined> {
  let document: string;
  try {
    document = await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw untrusted(`${file} cannot be read: ${messageOf(error)}`, error);
  }
  let json: unknown;
  try {
    json = JSON.parse(document);
  } catch (error) {
    throw untrusted(`${file}: is not a JSON document`, error);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw untrusted(`${file}: ${formatPlace(issue?.path ?? [])}: ${issue?.message ?? 'malformed'}`);
  }
  const scopes = parsed.data.transports['docker'] ?? {};
  const scope = scopesOf(reference).find((each) => Object.hasOwn(scopes, each));
  return verdictOf((scope === undefined ? undefined : scopes[scope]) ?? parsed.data.default);
}

/** All requirements must be satisfied; skopeo judges unknown types. */
function verdictOf(asked: z.output<typeof requirements>): Verdict {
  if (asked.some(({ type }) => type === 'reject')) return 'reject';
  return asked.every(({ type }) => type === 'insecureAcceptAnything') ? 'accept' : 'verify';
}

/** From the image itself to its repository, the namespaces above it, the host, the domains above that, and all. */
function scopesOf({ registry, repository, tag, digest }: ImageReference): string[] {
  const name = `${registry}/${repository}`;
  const scopes = [digest === undefined ? `${name}:${tag ?? 'latest'}` : `${name}@${digest}`];
  for (let scope = name; scope !== ''; scope = scope.slice(0, Math.max(scope.lastIndexOf('/'), 0))) scopes.push(scope);
  const host = registry.replace(/:\d+$/, '');
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) scopes.push(`*${host.slice(dot)}`);
  return [...scopes, ''];
}
