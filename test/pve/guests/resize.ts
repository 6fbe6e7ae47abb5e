import { textOf, type Call } from '../api/method.ts';
import { ApiError, fault, messageOf } from '../http/api-error.ts';
import { parsePropertyString, printPropertyString } from '../api/params/property-string.ts';
import type { GuestRef } from '../state/guest-files.ts';
import { sourceOf, wantedSize } from './disks.ts';
import { enlargeDisk } from './machine.ts';
import { checkDigest, checkLock, loadGuest, saveGuest } from '../config/guest.ts';
import { printSize } from '../config/sizes.ts';

const missing = 'property is missing and it is not optional';

function checked(path: string, before: number, after: number): string[] {
  return [
    'e2fsck 1.47.0 (5-Feb-2023)',
    'Pass 1: Checking inodes, blocks, and sizes',
    'Pass 2: Checking directory structure',
    'Pass 3: Checking directory connectivity',
    'Pass 4: Checking reference counts',
    'Pass 5: Checking group summary information',
    `${path}: 11/${before / 4096} files (0.0% non-contiguous), ${before / 8192}/${before / 1024} blocks`,
    'resize2fs 1.47.0 (5-Feb-2023)',
    `Resizing the filesystem on ${path} to ${after / 1024} (1k) blocks.`,
    `The filesystem on ${path} is now ${after / 1024} (1k) blocks long.`,
    '',
  ];
}

interface Looked {
  readonly volid: string;
  readonly format: string;
  readonly size: number;
  readonly wanted: number;
  readonly disk: Record<string, string>;
}

/**
 * Enlarges a disk.
 * @returns the task's UPID
 * @throws ApiError also when a container's disk would shrink, or stay as it is.
 */
export async function resizeGuest(call: Call, ref: GuestRef): Promise<string> {
  const { state } = call;
  const { kind, vmid } = ref;
  const key = textOf(call, 'disk');
  const look = async (): Promise<Looked> => {
    const config = loadGuest(state, ref);
    checkLock(ref, config);
    checkDigest(config, textOf(call, 'digest'));
    const value = config.current.values[key];
    if (value === undefined) {
      if (kind.type === 'qemu') throw fault(`disk '${key}' does not exist`);
      throw new ApiError(
        500,
        'format error',
        key === 'rootfs' ? { volume: missing } : { mp: missing, volume: missing },
      );
    }
    const disk = parsePropertyString(kind.volumeFormat(key), value);
    const source = sourceOf(kind, disk);
    if (source.kind !== 'volume') throw fault(`can't resize mount point owned by another container or host path`);
    const volume = await state.volumes.stat(source.volid);
    if (volume === undefined) throw fault(`volume '${source.volid}' does not exist`);
    const wanted = wantedSize(textOf(call, 'size'), volume.size);
    const { format, size } = volume;
    if (wanted < size)
      throw fault(kind.type === 'lxc' ? 'unable to shrink disk size' : 'shrinking disks is not supported');
    if (wanted === size && kind.type === 'lxc') throw fault('disk is already at specified size');
    return { volid: source.volid, format, size, wanted, disk };
  };
  // A machine's disk is looked at by the task alone.
  if (kind.type === 'lxc') await look();
  return call.fork('resize', String(vmid), (worker) =>
    state.locked(
      kind,
      vmid,
      async () => {
        const { volid, format, size, wanted, disk } = await look();
        if (wanted === size) return;
        const storage = volid.split(':')[0]!;
        if (format === 'subvol' && state.volumes.config(storage).type !== 'zfspool')
          throw fault("can't resize this image format");
        state.requireSpace(storage);
        await state.pause(500);
        await state.volumes.resize(volid, wanted);
        await enlargeDisk(state, ref, key, wanted).catch((error: unknown) => {
          throw fault(messageOf(error));
        });
        if (kind.type === 'lxc' && format !== 'subvol') {
          worker.log('Image resized.');
          for (const line of checked(state.volumes.path(volid), size, wanted)) worker.log(line);
        }
        const config = loadGuest(state, ref);
        config.current.values[key] = printPropertyString(kind.volumeFormat(key), { ...disk, size: printSize(wanted) });
        saveGuest(state, ref, config);
      },
      worker.signal,
    ),
  );
}
