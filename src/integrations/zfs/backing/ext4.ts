import { open, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { CommandError, run } from '../../../host/processes/run.ts';
import { messageOf } from '../../../utils/errors.ts';
import { environment } from '../commands.ts';

/** The type, as mount(8) has it. */
export const EXT4 = 'ext4';

/** What the superblock of an ext4 says. */
export interface Superblock {
  /** Bytes of the filesystem. */
  bytes: bigint;
  /** The number of its files, when it was last unmounted. */
  inodes: bigint;
}

/** Makes an ext4 on a device whose blocks are zero. @throws CriError naming the device. */
export async function makeExt4(device: string): Promise<void> {
  const how = ['-b', '4096', '-m', '0', '-e', 'remount-ro', '-E', 'assume_storage_prezeroed=1,root_owner=0:0'];
  await program('mke2fs', ['-q', '-t', EXT4, ...how, device], device);
}

/** Lets a mounted ext4 have all of its device. @throws CriError naming the device. */
export async function growExt4(device: string): Promise<void> {
  await program('resize2fs', [device], device);
}

/**
 * Waits until everything that was written to a mounted ext4 is on its device.
 * @throws CriError where it is not, now or earlier.
 */
export async function syncExt4(device: string, target: string): Promise<void> {
  await program('sync', ['--file-system', target], device);
  const errors = await readFile(join('/sys/fs/ext4', basename(device), 'errors_count'), 'utf8');
  if (errors.trim() !== '0') throw failed(device, `${errors.trim()} errors, which "dmesg" shows`);
}

/** Reads the superblock (ext4(5), fs/ext4/ext4.h) of a device. @throws CriError where there is none. */
export async function readSuperblock(device: string): Promise<Superblock> {
  const block = Buffer.alloc(1024);
  const file = await open(device);
  try {
    await file.read(block, 0, block.length, 1024);
  } finally {
    await file.close();
  }
  if (block.readUInt16LE(0x38) !== 0xef53) throw failed(device, 'there is none');
  const blocks = (BigInt(block.readUInt32LE(0x150)) << 32n) | BigInt(block.readUInt32LE(0x4));
  const inodes = BigInt(block.readUInt32LE(0x0)) - BigInt(block.readUInt32LE(0x10));
  return { bytes: blocks << BigInt(10 + block.readUInt32LE(0x18)), inodes };
}

async function program(name: string, args: readonly string[], device: string): Promise<void> {
  try {
    await run(name, args, { env: environment, cwd: '/' });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const isFull = error.stderr.includes('No space left');
    throw failed(device, messageOf(error), isFull ? StatusCode.RESOURCE_EXHAUSTED : StatusCode.UNKNOWN, error);
  }
}

function failed(device: string, problem: string, code: StatusCode = StatusCode.DATA_LOSS, cause?: unknown): CriError {
  return new CriError(code, `${EXT4} on ${device}: ${problem}`, { cause });
}
