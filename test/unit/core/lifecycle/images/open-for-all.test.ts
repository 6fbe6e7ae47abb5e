import test from 'ava';
import { openForAll } from '../../../../../src/core/lifecycle/images/open-for-all.ts';
import type { IncomingImage, RootfsTransfers } from '../../../../../src/core/model/rootfs-transfer.ts';

/** Reads two chunks as its documents, and the rest as layers; fails at the chunk `bad`. */
function storeOf(read: string[], bad?: string): Pick<RootfsTransfers, 'open'> {
  return {
    open: async (source) => {
      const chunks = source[Symbol.asyncIterator]();
      const next = async (): Promise<Buffer | undefined> => {
        const result = await chunks.next();
        if (result.done === true) return undefined;
        if (result.value.toString() === bad) throw new Error(`cannot read ${bad}`);
        read.push(result.value.toString());
        return result.value;
      };
      const config = (await next()) ?? Buffer.alloc(0);
      const manifest = (await next()) ?? Buffer.alloc(0);
      const receive: IncomingImage['receive'] = async () => {
        while ((await next()) !== undefined);
        return 'sha256:top';
      };
      return { config, manifest, names: [], layers: [], hasRootfs: true, receive };
    },
  };
}

async function* streamOf(...chunks: string[]) {
  for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk));
}

test('an image arrives in all stores', async (t) => {
  const reads: string[][] = [[], [], []];
  const incoming = await openForAll(
    reads.map((read) => storeOf(read)),
    streamOf('a', 'b', 'c', 'd'),
  );
  t.is(String(incoming.config), 'a');
  t.is(await incoming.receive(() => ''), 'sha256:top');
  t.deepEqual(reads, Array(3).fill(['a', 'b', 'c', 'd']));
});

test('a store that fails ends the others', async (t) => {
  const read: string[] = [];
  for (const bad of ['b', 'd']) {
    const opened = openForAll([storeOf(read), storeOf([], bad)], streamOf('a', 'b', 'c', 'd', 'e'));
    const received = opened.then(async (incoming) => incoming.receive(() => ''));
    await t.throwsAsync(received, { message: `cannot read ${bad}` });
  }
  t.false(read.includes('e'));
});
