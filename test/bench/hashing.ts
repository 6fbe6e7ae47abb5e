// What the digest of a transfer costs the event loop: three blobs at once, read from memory in the chunks of a transfer,
// with and without digest verification.
//
//   node_modules/.bin/node test/bench/hashing.ts [ROUNDS]
//
// Prints the median of each: MB/s, and the delay of a timer in milliseconds (99th percentile and maximum), with ratios.
import { createHash, randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { verified } from '../../src/integrations/oci/digest.ts';
import { median } from './contenders.ts';

const CHUNK = randomBytes(262_144);
const CHUNKS = 1200;
const BLOBS = 3;

const digest = (() => {
  const hash = createHash('sha256');
  for (let i = 0; i < CHUNKS; i++) hash.update(CHUNK);
  return `sha256:${hash.digest('hex')}`;
})();

/** As a socket delivers them: the event loop runs between two chunks. */
async function* transfer(): AsyncGenerator<Buffer> {
  for (let i = 0; i < CHUNKS; i++) {
    await setImmediate();
    // Copied, as from the kernel.
    yield Buffer.from(CHUNK);
  }
}

async function drain(chunks: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

async function measure(open: () => AsyncIterable<Buffer>): Promise<{ rate: number; p99: number; max: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  await Promise.all(Array.from({ length: BLOBS }, () => drain(open())));
  const seconds = (performance.now() - start) / 1000;
  delay.disable();
  const megabytes = (BLOBS * CHUNKS * CHUNK.length) / 1e6;
  // The histogram records the whole time between two ticks of a millisecond.
  return { rate: megabytes / seconds, p99: delay.percentile(99) / 1e6 - 1, max: delay.max / 1e6 - 1 };
}

const rounds = Number(process.argv[2] ?? 5);
const plain: Awaited<ReturnType<typeof measure>>[] = [];
const hashed: typeof plain = [];
for (let round = 0; round < rounds; round++) {
  plain.push(await measure(transfer));
  hashed.push(await measure(() => verified(transfer(), { digest, size: CHUNKS * CHUNK.length })));
}
for (const what of ['rate', 'p99', 'max'] as const) {
  const [without, within] = [plain, hashed].map((all) => median(all.map((each) => each[what])));
  const ratio = ((within ?? 0) / (without ?? 1)).toFixed(2);
  console.log(
    `${what}: ${without?.toFixed(2) ?? ''} without, ${within?.toFixed(2) ?? ''} with hashing, ratio ${ratio}`,
  );
}
