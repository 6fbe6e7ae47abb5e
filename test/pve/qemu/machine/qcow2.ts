import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const MAGIC = 0x514649fb;
const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;
/** How many entries one cluster of the first table has, each for 512 MiB: enough for 4 TiB, so that no image outgrows it. */
const ENTRIES = CLUSTER / 8;
const HEADER_LENGTH = 104;
const SIZE_AT = 24;

/** The clusters of an empty image: header, table of references' blocks, one such block, first table of addresses. */
function emptyImage(size: number): Buffer {
  const image = Buffer.alloc(4 * CLUSTER);
  image.writeUInt32BE(MAGIC, 0);
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(CLUSTER_BITS, 20);
  image.writeBigUInt64BE(BigInt(size), SIZE_AT);
  image.writeUInt32BE(ENTRIES, 36);
  image.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  image.writeBigUInt64BE(BigInt(CLUSTER), 48);
  image.writeUInt32BE(1, 56);
  // References are counted in 16 bits.
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(HEADER_LENGTH, 100);
  image.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  for (let cluster = 0; cluster < 4; cluster += 1) image.writeUInt16BE(1, 2 * CLUSTER + 2 * cluster);
  return image;
}

/**
 * Makes an empty file an image of the format qcow2 of `size` bytes, and enlarges what is one to it; no tool is needed.
 * @param size as the configuration has it; an image that is larger stays as it is
 */
export function prepareQcow2(file: string, size: number): void {
  const descriptor = openSync(file, 'r+');
  try {
    const header = Buffer.alloc(HEADER_LENGTH);
    readSync(descriptor, header, 0, HEADER_LENGTH, 0);
    if (header.readUInt32BE(0) !== MAGIC) writeSync(descriptor, emptyImage(size), 0, 4 * CLUSTER, 0);
    else if (header.readBigUInt64BE(SIZE_AT) < BigInt(size)) {
      header.writeBigUInt64BE(BigInt(size), SIZE_AT);
      writeSync(descriptor, header, SIZE_AT, 8, SIZE_AT);
    }
  } finally {
    closeSync(descriptor);
  }
}
