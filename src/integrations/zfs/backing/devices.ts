import { watch } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../../../core/model/errors.ts';
import { CommandError, run } from '../../../host/processes/run.ts';
import { isErrno } from '../../../utils/errors.ts';
import { environment } from '../commands.ts';

const DEV = '/dev';
const BLOCKS = '/sys/block';
/** Where udev links devices by the names of their volumes. */
const LINKS = '/dev/zvol';
/** Prints the volume of a device (of zfsutils, for the rules of udev). */
const ZVOL_ID = '/usr/lib/udev/zvol_id';
/** Milliseconds in which the kernel makes the device of a new volume; a limit for those that never get one. */
const LIMIT_MS = 30_000;
/** Milliseconds between two looks: nothing tells when a new device can be asked for its volume. */
const LOOK_MS = 50;

interface Named {
  volume: string | undefined;
  /** Its number among all disks since boot: the kernel gives the names of devices again. */
  sequence: string;
}

/**
 * The block devices of volumes: the nodes `/dev/zd*`, which the kernel makes. The links `/dev/zvol/*` come later, may be of a
 * volume that is gone, and are missing on a host without udev: they are only a hint where to look first.
 */
export class Devices {
  readonly #named = new Map<string, Named>();

  /** The device of a volume; waits for a new one. @throws CriError UNAVAILABLE; the signal's reason. */
  async wait(volume: string, signal?: AbortSignal): Promise<string> {
    const limit = AbortSignal.timeout(LIMIT_MS);
    const ended = AbortSignal.any([limit, ...(signal === undefined ? [] : [signal])]);
    let changed = Promise.withResolvers<undefined>();
    const wake = () => {
      changed.resolve(undefined);
    };
    // Before the first look: nothing in between is missed.
    const watcher = watch(DEV, { persistent: false }, wake);
    watcher.on('error', wake);
    ended.addEventListener('abort', wake, { once: true });
    try {
      for (;;) {
        changed = Promise.withResolvers<undefined>();
        const found = await this.find(volume);
        if (found !== undefined) return found;
        signal?.throwIfAborted();
        if (limit.aborted) throw missing(volume);
        await Promise.race([changed.promise, sleep(LOOK_MS)]);
      }
    } finally {
      watcher.close();
      ended.removeEventListener('abort', wake);
    }
  }

  /** The device of a volume; undefined while it has none. @throws CriError UNAVAILABLE without the tool of ZFS. */
  async find(volume: string): Promise<string | undefined> {
    const present = (await readdir(BLOCKS)).filter((name) => /^zd\d+$/.test(name));
    for (const name of this.#named.keys()) if (!present.includes(name)) this.#named.delete(name);
    const hint = await readlink(join(LINKS, volume)).then(basename, () => undefined);
    const likely = (name: string) => (name === hint || this.#named.get(name)?.volume === volume ? 1 : 0);
    for (const name of present.sort((a, b) => likely(b) - likely(a))) {
      if ((await this.#volumeOf(name)) === volume) return join(DEV, name);
    }
    return undefined;
  }

  async #volumeOf(name: string): Promise<string | undefined> {
    const sequence = await readFile(join(BLOCKS, name, 'diskseq'), 'utf8').catch(() => undefined);
    const known = this.#named.get(name);
    if (known !== undefined && known.sequence === sequence) return known.volume;
    const volume = await ask(name);
    // Before it can be asked, its node may not be there.
    if (sequence !== undefined && volume !== undefined) this.#named.set(name, { volume, sequence });
    return volume;
  }
}

async function ask(name: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(ZVOL_ID, [join(DEV, name)], { env: environment, cwd: '/', holds: 'nothing' });
    return stdout.trim();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (isErrno(error.cause, 'ENOENT')) throw unavailable(`${ZVOL_ID} not found; install zfsutils-linux`, error);
    return undefined;
  }
}

function missing(volume: string): Error {
  return unavailable(
    `volume ${volume} has no block device in ${DEV}; "zfs get volmode ${volume}" must be dev, and ${DEV} a devtmpfs`,
  );
}
