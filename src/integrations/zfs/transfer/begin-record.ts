import { failedPrecondition } from '../../../core/model/errors.ts';
import { damaged } from './frames.ts';

// The first record of a stream (zfs_ioctl.h, dmu_replay_record_t with drr_begin), little-endian as on x86 and ARM.

/** Bytes of it. */
const RECORD = 312;
const MAGIC = 0x2_f5ba_cbacn;
const OFFSET = { type: 0, magic: 8, versionInfo: 16, objectType: 32, toGuid: 40, fromGuid: 48 };
/** DRR_BEGIN, DMU_SUBSTREAM and DMU_OST_ZFS: one snapshot of a filesystem, with no list of properties around it. */
const BEGIN = 0;
const SUBSTREAM = 1n;
const FILESYSTEM = 2;
/** DMU_BACKUP_FEATURE_RAW: encrypted as it is on disk, which brings the properties of its encryption. */
const RAW = 1n << 24n;

/** Which snapshot a stream makes, and of which one it is the continuation; 0: of none. */
export interface StreamIdentity {
  guid: bigint;
  from: bigint;
}

/**
 * Passes a stream on when its first record is that of the one expected: nothing else reaches the kernel, no package of several
 * snapshots or with properties among it. @throws CriError DATA_LOSS, FAILED_PRECONDITION for one from a big-endian system.
 */
export async function* checkedStream(stream: AsyncIterable<Buffer>, expected: StreamIdentity): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of stream) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < RECORD) continue;
    checkBegin(head, expected);
    yield head;
    head = undefined;
  }
  if (head !== undefined) throw damaged('a part of it is no ZFS stream');
}

function checkBegin(record: Buffer, { guid, from }: StreamIdentity): void {
  const magic = record.readBigUInt64LE(OFFSET.magic);
  if (record.readBigUInt64BE(OFFSET.magic) === MAGIC)
    throw failedPrecondition('the stream is from a big-endian system; use export and import');
  const info = record.readBigUInt64LE(OFFSET.versionInfo);
  const isFilesystem = record.readUInt32LE(OFFSET.objectType) === FILESYSTEM;
  const isPlain = (info & 3n) === SUBSTREAM && ((info >> 2n) & RAW) === 0n;
  if (magic !== MAGIC || record.readUInt32LE(OFFSET.type) !== BEGIN || !isPlain || !isFilesystem)
    throw damaged('a part of it is not the ZFS stream of one filesystem without properties');
  if (record.readBigUInt64LE(OFFSET.toGuid) !== guid || record.readBigUInt64LE(OFFSET.fromGuid) !== from)
    throw damaged('a part of it is the ZFS stream of another snapshot');
}
