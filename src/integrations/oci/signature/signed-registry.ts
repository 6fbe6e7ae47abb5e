import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode, unknown } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Credentials, ImageReference, ImageRegistry, SourceImage } from '../../../core/model/image.ts';
import type { Logger } from '../../../core/model/logger.ts';
import { CommandError, run } from '../../../host/processes/run.ts';
import { readDocument } from '../archive/documents.ts';
import { openBlob } from '../archive/layout.ts';
import { corrupt } from '../digest.ts';
import { type Platform, parsePlatform } from '../platform.ts';
import { isMeantFor, readAuthFiles } from '../registry/auth-file.ts';
import { isLoopback } from '../registry/endpoints.ts';
import { resolveImage } from '../resolve.ts';
import { readVerdict, untrusted } from './policy.ts';

/** The default path of containers-policy.json(5), where it may be missing. */
const USUAL_POLICY = '/etc/containers/policy.json';

export interface SignedRegistryOptions {
  /** Pulls without a required signature use this source. */
  registry: ImageRegistry;
  /** containers-policy.json(5); "": none. */
  policyFile: string;
  /** Directory for fetched images; emptied at the first use. */
  temporary: string;
  authFiles: readonly string[];
  insecureRegistries: readonly string[];
  platform?: string;
  /** containers-registries.d(5): where signatures are kept; skopeo's own directory unless given. */
  registriesDir?: string;
  logger: Logger;
}

/**
 * A registry with a signature policy: images that must be signed are fetched by skopeo, which verifies them while it
 * copies; an image that it refuses, or cannot verify, is not used.
 */
export class SignedRegistry implements ImageRegistry {
  readonly name = 'registry';
  readonly #options: SignedRegistryOptions;
  readonly #platform: Platform;
  #prepared: Promise<unknown> | undefined;

  constructor(options: SignedRegistryOptions) {
    this.#options = options;
    this.#platform = parsePlatform(options.platform);
  }

  /** @throws as ImageRegistry.resolve; CriError UNKNOWN "SignatureValidationFailed: …" for an image without the proof asked for. */
  async resolve(
    reference: ImageReference,
    credentials: Credentials | undefined,
    signal?: AbortSignal,
  ): Promise<SourceImage> {
    const { registry, policyFile } = this.#options;
    if (policyFile === '') return registry.resolve(reference, credentials, signal);
    const verdict = await readVerdict(policyFile, reference);
    if (verdict === undefined && policyFile !== USUAL_POLICY) {
      throw untrusted(`the policy ${policyFile} does not exist (images.signature_policy)`);
    }
    if (verdict === 'reject') throw untrusted(`${nameOf(reference)} is rejected by ${policyFile}`);
    if (verdict !== 'verify') return registry.resolve(reference, credentials, signal);
    return this.#fetch(reference, credentials, signal);
  }

  async #fetch(
    reference: ImageReference,
    credentials: Credentials | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SourceImage> {
    const { temporary, logger } = this.#options;
    // Leftovers are harmless: each pull has its own directory.
    this.#prepared ??= rm(temporary, { recursive: true, force: true }).catch((error: unknown) => {
      logger.error('Removing downloads of an earlier server failed', { directory: temporary, error: messageOf(error) });
    });
    await this.#prepared;
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    const directory = await mkdtemp(join(temporary, 'signed-'));
    const close = () => rm(directory, { recursive: true, force: true });
    try {
      await this.#copy(reference, credentials, directory, signal);
      logger.info('Image signature verified by skopeo', { image: nameOf(reference) });
      return await this.#open(reference, join(directory, 'image'), close);
    } catch (error) {
      await close();
      signal?.throwIfAborted();
      throw error;
    }
  }

  async #copy(
    reference: ImageReference,
    given: Credentials | undefined,
    directory: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { policyFile, authFiles, insecureRegistries, registriesDir } = this.#options;
    const { registry, repository } = reference;
    const shown = isMeantFor(given, registry) ? given : undefined;
    const credentials = shown ?? (await readAuthFiles(authFiles, `${registry}/${repository}`));
    // Always a separate file: skopeo's default one belongs to a user.
    const authFile = join(directory, 'auth.json');
    await writeFile(authFile, authDocument(registry, credentials), { mode: 0o600 });
    const { os, architecture, variants } = this.#platform;
    const isInsecure = insecureRegistries.includes(registry) || isLoopback(registry);
    const args = [
      `--policy=${policyFile}`,
      `--tmpdir=${directory}`,
      ...(registriesDir === undefined ? [] : [`--registries.d=${registriesDir}`]),
      `--override-os=${os}`,
      `--override-arch=${architecture}`,
      // skopeo knows only variants of ARM; any other would have to match exactly.
      ...(architecture.startsWith('arm') ? variants.slice(0, 1) : []).map((variant) => `--override-variant=${variant}`),
      'copy',
      '--quiet',
      `--src-authfile=${authFile}`,
      ...(isInsecure ? ['--src-tls-verify=false'] : []),
      '--',
      `docker://${nameOf(reference)}`,
      `dir:${join(directory, 'image')}`,
    ];
    try {
      await run('skopeo', args, { env: { PATH: process.env['PATH'], HOME: directory, ...proxies() }, signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw failure(reference, error);
    } finally {
      await rm(authFile, { force: true });
    }
  }

  async #open(reference: ImageReference, directory: string, close: () => Promise<void>): Promise<SourceImage> {
    const file = (digest: string) => join(directory, digest.replace(/^sha256:/, ''));
    const read = async (path: string, what: string) => {
      const document = await readDocument(path, what);
      if (!document) throw corrupt(what, 'is missing in the output of skopeo');
      return document;
    };
    const manifest = await read(join(directory, 'manifest.json'), 'manifest.json');
    const image = await resolveImage(manifest, this.#platform, ({ digest }) => read(file(digest), `blob ${digest}`));
    return {
      ...image,
      // A requested digest may have been an index, of which skopeo kept one image.
      digest: reference.digest ?? image.digest,
      names: [],
      openLayer: (layer, abort, range) => Promise.resolve(openBlob(file(layer.digest), layer, abort, range)),
      close,
    };
  }
}

function nameOf({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${digest === undefined ? `:${tag ?? 'latest'}` : `@${digest}`}`;
}

function authDocument(registry: string, credentials: Credentials | undefined): string {
  const { username, password = '', identityToken } = credentials ?? {};
  if (username === undefined && identityToken === undefined) return '{"auths":{}}';
  const auth = Buffer.from(`${username ?? ''}:${password}`).toString('base64');
  const entry = { auth, ...(identityToken !== undefined && { identitytoken: identityToken }) };
  return JSON.stringify({ auths: { [registry]: entry } });
}

function proxies(): NodeJS.ProcessEnv {
  const names = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()]);
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

/** skopeo reports problems as text only. Any that is not clearly the registry's counts as a missing signature. */
function failure(reference: ImageReference, error: unknown): CriError {
  const name = nameOf(reference);
  if (!(error instanceof CommandError) || error.exitCode === undefined) {
    return untrusted(`${name} signature cannot be checked: ${messageOf(error)}; install skopeo`, error);
  }
  const words = /msg="?(.*?)"?\s*$/.exec(error.stderr.trim())?.[1] ?? error.message;
  if (/manifest unknown|name unknown|not found/i.test(words)) return new CriError(StatusCode.NOT_FOUND, words);
  if (/unauthorized|authentication required/i.test(words)) return new CriError(StatusCode.UNAUTHENTICATED, words);
  if (/denied/i.test(words)) return new CriError(StatusCode.PERMISSION_DENIED, words);
  if (/pinging container registry|connection refused|no such host|timeout/i.test(words)) {
    return unknown(`RegistryUnavailable: ${words}`, error);
  }
  return untrusted(`${name}: ${words}`, error);
}
