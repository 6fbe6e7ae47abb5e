import { randomUUID } from 'node:crypto';
import { notFound } from '../../../core/model/errors.ts';
import type {
  IncomingImage,
  RootfsTransfers,
  SentRootfs,
  TransferredImage,
} from '../../../core/model/rootfs-transfer.ts';
import type { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { runLocked } from '../../../utils/async/abortable.ts';
import { numberOf } from '../answers/properties.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { LayerFacts } from '../layers/layer-snapshot.ts';
import { destroyView } from '../store/dataset-changes.ts';
import { completeOf, type Kind, PROPERTY } from '../store/layout.ts';
import type { RootfsDatasets } from '../store/rootfs-datasets.ts';
import { send } from '../streams.ts';
import { framed, FrameReader, preamble } from './frames.ts';
import { formatHeader, parseHeader, type TransferHeader } from './header.ts';
import { lineageOf, snapshotsByGuid } from './lineage.ts';
import { planStreams } from './plan.ts';
import { ReceivedDatasets, type ReceivedDatasetsOptions } from './received-datasets.ts';

export interface DatasetTransfersOptions extends ReceivedDatasetsOptions {
  rootfs: Pick<RootfsDatasets, 'locate'>;
  /** One key for each layer. */
  locks: KeyedLock;
  /** Runs a task on the loaded store. */
  run: <T>(task: () => Promise<T>) => Promise<T>;
}

/** Sends layers and root filesystems as `zfs send` streams, each the continuation of the one below, and receives them. */
export class DatasetTransfers implements RootfsTransfers {
  readonly #options: DatasetTransfersOptions;
  readonly #received: ReceivedDatasets;

  constructor(options: DatasetTransfersOptions) {
    this.#options = options;
    this.#received = new ReceivedDatasets(options);
  }

  async *send(
    image: TransferredImage,
    chainId: string | undefined,
    rootfs: SentRootfs | undefined,
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const { zfs, layers, run } = this.#options;
    const lineage = await run(() => lineageOf(this.#options, layers.index, chainId));
    const top = rootfs && (await this.#snapshot(rootfs, signal));
    try {
      const guid = top && (await this.#guidOf(top.snapshot));
      const described = lineage.map(({ layer, guid: own }) => ({ ...layer, guid: own }));
      yield preamble(formatHeader({ ...image, layers: described, ...(guid !== undefined && { rootfs: { guid } }) }));
      const snapshots = [...lineage.map(({ snapshot }) => snapshot), ...(top === undefined ? [] : [top.snapshot])];
      for (const [index, snapshot] of snapshots.entries()) {
        const stream = await send(snapshot, { from: snapshots[index - 1], properties: false, signal });
        try {
          yield* framed(stream);
        } finally {
          stream.destroy();
        }
      }
    } finally {
      if (top?.isOwn === true) await destroyView(zfs, top.snapshot);
    }
  }

  async open(source: AsyncIterable<Buffer>): Promise<IncomingImage> {
    const reader = new FrameReader(source);
    const header = parseHeader(await reader.header());
    const { config, manifest, names, layers, rootfs } = header;
    const receive: IncomingImage['receive'] = (chainOf, signal) =>
      this.#options.run(() =>
        this.#options.layers.copies.receiving(() => this.#receive(reader, header, chainOf, signal)),
      );
    return { config, manifest, names, layers, hasRootfs: rootfs !== undefined, receive };
  }

  async #receive(
    reader: FrameReader,
    { layers: heads, rootfs }: TransferHeader,
    chainOf: (diffId: string) => string,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const { layers } = this.#options;
    const snapshots = await snapshotsByGuid(this.#options);
    const plan = planStreams(heads, rootfs !== undefined, {
      hasLayer: (chainId) => layers.index.get(chainId) !== undefined,
      hasGuid: (guid) => snapshots.has(guid),
    });
    const identityOf = (index: number, guid: bigint) => ({ guid, from: heads[index - 1]?.guid ?? 0n });
    const originOf = (index: number) => {
      const below = heads[index - 1];
      return below && snapshots.get(below.guid);
    };
    for (const [index, head] of heads.entries()) {
      const use = plan[index];
      if (use === 'skip') {
        for await (const chunk of reader.stream().bytes) if (chunk.length > 0) signal?.throwIfAborted();
        continue;
      }
      const kind: Kind = use === 'layer' ? 'layer' : 'removed';
      const origin = originOf(index);
      const received = await this.#received.receive(reader, identityOf(index, head.guid), { origin, kind }, signal);
      const facts = { ...head, parent: heads[index - 1]?.chainId };
      const dataset = use === 'layer' ? await this.#publish(received.dataset, facts, signal) : received.dataset;
      snapshots.set(head.guid, completeOf(dataset));
    }
    if (rootfs === undefined) {
      await reader.end();
      return undefined;
    }
    const at = heads.length;
    const identity = identityOf(at, rootfs.guid);
    const received = await this.#received.receive(reader, identity, { origin: originOf(at), kind: 'layer' }, signal);
    try {
      await reader.end();
    } catch (error) {
      await this.#received.remove(received.dataset);
      throw error;
    }
    const { digest: diffId, dataset } = received;
    const usage = { bytes: 0n, inodes: 0n };
    await this.#publish(dataset, { chainId: chainOf(diffId), parent: heads.at(-1)?.chainId, diffId, ...usage }, signal);
    return diffId;
  }

  /** Returns the dataset that the layer has then. */
  async #publish(dataset: string, facts: LayerFacts, signal: AbortSignal | undefined): Promise<string> {
    const { locks, layout } = this.#options;
    await runLocked(locks, facts.chainId, signal, () => this.#received.publish(dataset, facts));
    return layout.layer(facts.chainId);
  }

  async #snapshot(
    { id, snapshot: name }: SentRootfs,
    signal?: AbortSignal,
  ): Promise<{ snapshot: string; isOwn: boolean }> {
    const { zfs, rootfs } = this.#options;
    const { dataset } = await rootfs.locate(id);
    const isOwn = name === undefined;
    const snapshot = `${dataset}@${name ?? `view-${randomUUID()}`}`;
    if (isOwn) await zfs.snapshot([snapshot], { settings: { [PROPERTY.kind]: 'view' satisfies Kind }, signal });
    return { snapshot, isOwn };
  }

  async #guidOf(snapshot: string): Promise<bigint> {
    try {
      const [entry] = await this.#options.zfs.get([snapshot], ['guid']);
      return (entry && numberOf(entry, 'guid')) ?? 0n;
    } catch (error) {
      if (isKind(error, 'notFound')) throw notFound('snapshot', snapshot.slice(snapshot.indexOf('@') + 1));
      throw error;
    }
  }
}
