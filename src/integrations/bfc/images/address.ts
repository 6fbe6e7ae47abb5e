import { isAbsolute, normalize } from 'node:path';
import { invalidArgument } from '../../../core/model/errors.ts';

/** `bfc:///PATH[:NAME]` or `bfc://STORAGE:PATH[:NAME]` */
export interface BfcAddress {
  /** The storage of Proxmox VE whose directory the path is relative to; undefined for a path of this node. */
  storage: string | undefined;
  /** Without `..`, unless it leaves the storage; absolute without a storage. */
  path: string;
  /** Of an image in the file; undefined for its only one. */
  name: string | undefined;
}

/** The names that Proxmox VE allows for storages (`pve-storage-id`), in front of the path. */
const ADDRESS = /^bfc:\/\/(?:([a-zA-Z][\w.-]*[a-zA-Z0-9]):)?(.*?\.bfc)(?::(.+))?$/s;

/**
 * Reads an address; undefined for one of another scheme. The path ends at the first `.bfc` before a colon or the end.
 * @throws CriError INVALID_ARGUMENT for a malformed one.
 */
export function parseAddress(text: string): BfcAddress | undefined {
  if (!text.startsWith('bfc://')) return undefined;
  const [, storage, path = '', name] = ADDRESS.exec(text) ?? [];
  if (path !== '' && isAbsolute(path) === (storage === undefined) && !path.includes('\0')) {
    return { storage, path: normalize(path), name };
  }
  const shown = JSON.stringify(text.slice(0, 300));
  throw invalidArgument(
    'image.image',
    `${shown} must be bfc:///PATH/FILE.bfc, or bfc://STORAGE:PATH/FILE.bfc for a storage of Proxmox VE, each with ":NAME" where the file has several images`,
  );
}
