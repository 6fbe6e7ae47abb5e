import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Logger } from '../../../core/model/logger.ts';
import { messageOf } from '../../../utils/errors.ts';
import { explainMount } from '../backing/mount-dataset.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { LayerDatasets } from '../layers/layer-datasets.ts';
import type { LayerFacts } from '../layers/layer-snapshot.ts';
import { completeOf, type Kind, type Layout, PROPERTY } from '../store/layout.ts';
import { receive } from '../streams.ts';
import type { Settings, Zfs } from '../zfs.ts';
import { checkedStream, type StreamIdentity } from './begin-record.ts';
import { damaged, type FrameReader } from './frames.ts';

export interface ReceivedDatasetsOptions {
  zfs: Zfs;
  layout: Layout;
  layers: LayerDatasets;
  logger: Logger;
}

/** A stream that was received and verified. */
export interface Received {
  dataset: string;
  /** Of the stream's bytes. */
  digest: string;
}

/** Makes layers of streams: each arrives in a dataset of its own, which gets the layer's name when all is right. */
export class ReceivedDatasets {
  readonly #options: ReceivedDatasetsOptions;

  constructor(options: ReceivedDatasetsOptions) {
    this.#options = options;
  }

  /**
   * Receives the next stream; nothing of it is left when that fails.
   * @param origin the snapshot that it continues. @param kind `removed` for one that nothing but other datasets may use.
   */
  async receive(
    reader: FrameReader,
    identity: StreamIdentity,
    { origin, kind }: { origin: string | undefined; kind: Kind },
    signal?: AbortSignal,
  ): Promise<Received> {
    const { zfs, layout } = this.#options;
    const dataset = `${layout.layers}/incoming-${randomUUID()}`;
    const { bytes, digest } = reader.stream();
    const settings: Settings = { [PROPERTY.kind]: kind, ...(origin !== undefined && { origin }) };
    try {
      const stream = Readable.from(checkedStream(bytes, identity), { objectMode: false, highWaterMark: 1_048_576 });
      await receive(completeOf(dataset), stream, { settings, signal });
      const received = digest();
      // The program reads no further than the end of its own format.
      if (received === undefined) throw damaged('a part of it has more than a ZFS stream');
      await zfs.get([completeOf(dataset)], ['guid']);
      return { dataset, digest: received };
    } catch (error) {
      await this.remove(dataset);
      signal?.throwIfAborted();
      // It is inherited; what would inherit it does not exist.
      throw isKind(error, 'keyNotLoaded') ? await explainMount(zfs, layout.layers, error) : error;
    }
  }

  /** Makes a received dataset the layer of those facts, unless there is one by now. Nothing is left when that fails. */
  async publish(dataset: string, facts: LayerFacts): Promise<void> {
    const { layers } = this.#options;
    try {
      if (layers.index.get(facts.chainId) === undefined) await layers.adopt(dataset, facts);
      else await this.remove(dataset);
    } catch (error) {
      await this.remove(dataset);
      throw error;
    }
  }

  /** Destroys a dataset that has become no layer. A failure is logged: the next start repeats it. */
  async remove(dataset: string): Promise<void> {
    await this.#options.zfs.destroy(dataset, { recursive: true }).catch((error: unknown) => {
      if (isKind(error, 'notFound')) return;
      this.#options.logger.error('Destroying a received dataset failed', { dataset, error: messageOf(error) });
    });
  }
}
