import { invalidArgument } from '../../model/errors.ts';
import type { ImageReference } from '../../model/image.ts';

/** Longest name of a repository with its registry (distribution specification). */
const MAX_NAME = 255;

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const HOST_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const HOST = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?$`);
const ID = /^[0-9a-f]{64}$/;

/**
 * Parses an image name as in Docker and the kubelet: `[registry/]repository[:tag][@digest]`. Without a registry it is
 * `defaultRegistry`, where Docker Hub's own images live below `library/`; without tag and digest the tag is `latest`.
 * @throws CriError INVALID_ARGUMENT that names `field`, for a name the distribution specification does not allow.
 */
export function parseReference(
  text: string,
  { defaultRegistry = 'docker.io', field = 'image.image' }: { defaultRegistry?: string; field?: string } = {},
): ImageReference {
  const bad = (problem: string) => invalidArgument(field, `${JSON.stringify(text.slice(0, 300))} ${problem}`);
  if (text === '')
    throw invalidArgument(field, 'is empty; write an image name such as "docker.io/library/busybox:latest"');
  if (ID.test(text)) throw bad('is an image id, not a name');

  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest)) {
    throw bad('has a malformed digest; write "@sha256:" and 64 lower-case hexadecimal digits');
  }
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) {
    throw bad(
      'has a malformed tag; at most 128 letters, digits, "_", "." and "-" are allowed, the first no "." or "-"',
    );
  }
  const { registry, repository } = splitName(colon < 0 ? named : named.slice(0, colon), defaultRegistry);
  const port = /:(\d+)$/.exec(registry)?.[1] ?? '1';
  // A last label of digits alone makes URLs take the host for an IPv4 address, which it may not be.
  const usable = HOST.test(registry) && URL.canParse(`https://${registry}/`);
  if (!usable || Number(port) < 1 || Number(port) > 65_535) {
    throw bad(`names a malformed registry host ${JSON.stringify(registry.slice(0, 300))}`);
  }
  if (repository !== repository.toLowerCase()) throw bad('has upper-case letters in the repository name');
  if (!REPOSITORY.test(repository)) throw bad('is not a valid image name; write [registry/]repository[:tag][@digest]');
  if (registry.length + 1 + repository.length > MAX_NAME) throw bad(`is longer than ${MAX_NAME} characters`);
  return { registry, repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest };
}

/** Whether it is an address, `SCHEME://…`, which no image name can be. */
export function isAddress(text: string): boolean {
  return /^[a-z]+:\/\//.test(text);
}

/** `registry/repository`. */
export function repositoryName(reference: ImageReference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** The canonical name: by digest where there is one, else by tag. */
export function formatReference(reference: ImageReference): string {
  const { digest, tag = 'latest' } = reference;
  return repositoryName(reference) + (digest === undefined ? `:${tag}` : `@${digest}`);
}

/** A reference as a name of a record: its digest, else its tag. */
export function nameIn(reference: ImageReference): { tag?: string; digest?: string } {
  return reference.digest === undefined ? tagOf(reference) : { digest: formatReference(reference) };
}

/** The tag of a reference without a digest. */
export function tagOf(reference: ImageReference): { tag?: string } {
  const { digest, tag } = reference;
  return digest === undefined && tag !== undefined ? { tag: `${repositoryName(reference)}:${tag}` } : {};
}

/** The names of an image with this digest that was pulled by the reference: its tag, if any, and its repository digest. */
export function tagAndDigest(reference: ImageReference, digest: string): { tag?: string; digest: string } {
  return { ...tagOf(reference), digest: `${repositoryName(reference)}@${digest}` };
}

/** The canonical name of what a person writes; undefined for what is no image name. */
export function fullName(text: string, defaultRegistry: string): string | undefined {
  try {
    return formatReference(parseReference(text, { defaultRegistry }));
  } catch {
    return undefined;
  }
}

/** The first component is a registry when it can be no repository component: it has a dot or a port, or is localhost. */
function splitName(name: string, defaultRegistry: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const lower = first.toLowerCase();
  const isHost = /[.:[]/.test(first) || lower === 'localhost';
  const hasRegistry = isHost || first !== lower;
  // As in addresses (RFC 3986, 3.2.2): another spelling must not pass by the signature policy and settings of the host.
  let registry = isHost ? lower : hasRegistry ? first : defaultRegistry;
  let repository = hasRegistry ? name.slice(slash + 1) : name;
  if (registry === 'index.docker.io') registry = 'docker.io';
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  return { registry, repository };
}
