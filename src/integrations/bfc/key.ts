import { argon2 } from 'node:crypto';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { quoted } from '../../core/logging/escape.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { FileSecret } from '../../core/model/file-secret.ts';
import { messageOf } from '../../utils/errors.ts';

const KEY_BYTES = 32;
/** Of the header's salt, the bytes that the derivation takes. */
const DERIVATION_SALT_BYTES = 16;
/** Argon2id as libsodium does it for the original: 3 passes over 64 MiB, version 1.3, one lane. */
const DERIVATION = { parallelism: 1, tagLength: KEY_BYTES, memory: 65_536, passes: 3 } as const;

/** What opens the encrypted content of a BFC file. */
export type BfcSecret = FileSecret;

const derive = promisify(argon2);

/** The key of ChaCha20-Poly1305. With a password it takes 64 MiB of memory and a tenth of a second, on another thread. */
export async function contentKey(secret: BfcSecret, salt: Buffer): Promise<Buffer> {
  if (secret.kind === 'key') return secret.key;
  const nonce = salt.subarray(0, DERIVATION_SALT_BYTES);
  return derive('argon2id', { ...DERIVATION, message: secret.password, nonce });
}

/** The key in a file: its first 32 bytes, as the original takes them. @throws CriError INVALID_ARGUMENT when it has fewer. */
export async function readKeyFile(path: string): Promise<BfcSecret> {
  const key = Buffer.alloc(KEY_BYTES);
  let length = 0;
  try {
    const file = await open(path, 'r');
    try {
      ({ bytesRead: length } = await file.read(key, 0, KEY_BYTES));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw invalidArgument('key file', `${quoted(path)} cannot be read: ${messageOf(error)}`);
  }
  if (length < KEY_BYTES) {
    throw invalidArgument('key file', `${quoted(path)} has ${length} bytes; a key has ${KEY_BYTES}`);
  }
  return { kind: 'key', key };
}
