import { Commands } from './commands.ts';
import { type Dialect, PropertiesReader } from './properties-reader.ts';
import { Zfs } from './zfs.ts';
import { Zpool } from './zpool.ts';

/** The client of OpenZFS on this host: its datasets and its pools, which share the bounds on programs at once. */
export interface ZfsClient {
  zfs: Zfs;
  zpool: Zpool;
}

/** Makes a client; nothing runs before the first call. @param dialect for tests: by default what the version has. */
export function zfsClient(dialect?: Dialect): ZfsClient {
  const commands = new Commands();
  const reader = new PropertiesReader(commands, dialect);
  return { zfs: new Zfs(commands, reader), zpool: new Zpool(reader) };
}
