import { Readable } from 'node:stream';
import type { Credentials, ImageReference, ImageRegistry, SourceImage } from '../../core/model/image.ts';
import type { Logger } from '../../core/model/logger.ts';
import { MANIFEST_TYPES, MAX_DOCUMENT } from './manifest.ts';
import { parsePlatform, type Platform } from './platform.ts';
import { resolveImage } from './resolve.ts';
import { placesOf, type RegistrySettings } from './registry/registry-settings.ts';
import { Repository } from './registry/repository.ts';
import { Session } from './registry/session.ts';
import { type Pace, Transport } from './registry/transport.ts';

export interface RegistryClientOptions extends RegistrySettings {
  logger: Logger;
  /** `linux/amd64`; this machine's when empty. */
  platform?: string;
  /** Milliseconds without a byte after which a transfer fails; 0: never; default 60,000. */
  stallMs?: number;
  /** Bytes per second below which a transfer fails, on average within `stallMs`; 0: none; default 4,096. */
  minBytesPerSecond?: number;
  /** Milliseconds before a failed request is repeated; default 500. */
  retryMs?: number;
}

/** Pulls from OCI and Docker registries (OCI distribution specification 1.1, "Pull"). */
export class RegistryClient implements ImageRegistry {
  readonly name = 'registry';
  readonly #options: RegistryClientOptions;
  readonly #platform: Platform;
  readonly #transport: Transport;
  readonly #pace: Pace;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    this.#platform = parsePlatform(options.platform);
    this.#pace = { stallMs: options.stallMs ?? 60_000, minRate: options.minBytesPerSecond ?? 4096 };
    this.#transport = new Transport(this.#pace);
  }

  async resolve(
    reference: ImageReference,
    credentials: Credentials | undefined,
    signal?: AbortSignal,
  ): Promise<SourceImage> {
    const repository = await this.#repository(reference, credentials);
    const accept = MANIFEST_TYPES.join(', ');
    const path = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`;
    const top = await repository.document(path, accept, MAX_DOCUMENT, signal);
    const image = await resolveImage(top, this.#platform, ({ digest }, kind) =>
      kind === 'manifest'
        ? repository.document(`manifests/${digest}`, accept, MAX_DOCUMENT, signal)
        : repository.document(`blobs/${digest}`, '*/*', MAX_DOCUMENT, signal),
    );
    return {
      ...image,
      names: [],
      openLayer: async (layer, abort, range) =>
        Readable.from(range ? repository.range(layer, range, abort) : repository.blob(layer, abort), {
          objectMode: false,
          highWaterMark: 262_144,
        }),
      close: () => Promise.resolve(),
    };
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  async #repository(reference: ImageReference, credentials: Credentials | undefined): Promise<Repository> {
    const { retryMs = 500, logger } = this.#options;
    const { registry, repository } = reference;
    const transport = this.#transport;
    const places = await placesOf(reference, credentials, this.#options);
    const sessions = places.map((place) => new Session({ transport, retryMs, ...place }));
    const { stallMs, minRate } = this.#pace;
    return new Repository(sessions, {
      name: `${registry}/${repository}`,
      retryMs,
      progress: (minRate * stallMs) / 1000,
      logger: logger.with({ registry, repository }),
    });
  }
}
