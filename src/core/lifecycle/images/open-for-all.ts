import { readTogether } from '../../../utils/async/read-together.ts';
import type { IncomingImage, RootfsTransfers } from '../../model/rootfs-transfer.ts';

/** An image that arrives in several stores. */
export interface SharedIncoming extends IncomingImage {
  /** Ends the source. */
  close: () => void;
}

/**
 * Opens one stream for several stores, in all of which the image arrives at the same pace. The first that fails ends the others.
 * @throws as RootfsTransfers.open.
 */
export async function openForAll(
  stores: readonly Pick<RootfsTransfers, 'open'>[],
  source: AsyncIterable<Buffer>,
): Promise<SharedIncoming> {
  const { read, close } = readTogether(source, stores.length);
  const failed = new AbortController();
  /** The result of the first, when all have succeeded. */
  const all = async <T>(works: readonly Promise<T>[]): Promise<T> => {
    const fail = (error: unknown): never => {
      failed.abort(error);
      close(error);
      throw error;
    };
    const guarded = works.map((work) => work.catch(fail));
    await Promise.allSettled(guarded);
    failed.signal.throwIfAborted();
    const [first] = guarded;
    if (first === undefined) throw new Error('a stream is opened for no store');
    return first;
  };
  const incoming = stores.map((store) => store.open(read()));
  const image = await all(incoming);
  const receive: IncomingImage['receive'] = async (chainOf, signal) => {
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    return all(incoming.map(async (each) => (await each).receive(chainOf, either)));
  };
  return {
    ...image,
    receive,
    close: () => {
      close(new Error('the stream is closed'));
    },
  };
}
