import { type Decipheriv, type KeyObject, createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const ALGORITHM = 'chacha20-poly1305';
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
const BLOCK_BYTES = 64;
const OPTIONS = { authTagLength: TAG_BYTES };
/** Types ask for what only CCM needs. */
const NO_LENGTH = { plaintextLength: 0 };
/** Bytes that one nonce is good for: 2^32 - 1 blocks, the first of which makes the tag's key (RFC 8439, 2.8). */
export const MAX_ENCRYPTED_BYTES = BLOCK_BYTES * (2 ** 32 - 2);

/** The tag does not fit the content, the path and the key: one of them is not what it was. */
export class TagMismatch extends Error {
  constructor() {
    super('authentication failed');
    this.name = 'TagMismatch';
  }
}

/** Random bytes for nonces, each of which is used once: to ask for 12 takes as long as for 4 KiB. */
let random = Buffer.alloc(0);

function makeNonce(): Buffer {
  if (random.length < NONCE_BYTES) random = randomBytes(NONCE_BYTES * 341);
  const nonce = random.subarray(0, NONCE_BYTES);
  random = random.subarray(NONCE_BYTES);
  return nonce;
}

/** Encrypts content as a BFC file has it: a random nonce, the encrypted bytes, a tag, which also covers the path. */
export async function* encrypt(
  content: AsyncIterable<Buffer> | Iterable<Buffer>,
  key: KeyObject,
  path: string,
): AsyncGenerator<Buffer> {
  const nonce = makeNonce();
  const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS);
  cipher.setAAD(Buffer.from(path, 'latin1'), NO_LENGTH);
  yield nonce;
  for await (const chunk of content) yield cipher.update(chunk);
  cipher.final();
  yield cipher.getAuthTag();
}

/** The same of a content in memory, in three parts. */
export function encryptWhole(content: Buffer, key: KeyObject, path: string): [Buffer, Buffer, Buffer] {
  const nonce = makeNonce();
  const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS);
  cipher.setAAD(Buffer.from(path, 'latin1'), NO_LENGTH);
  const encrypted = cipher.update(content);
  cipher.final();
  return [nonce, encrypted, cipher.getAuthTag()];
}

/**
 * Decrypts the bytes between nonce and tag. What it yields is nothing to rely on before it has ended: the tag is checked there.
 * @throws TagMismatch
 */
export async function* decrypt(
  encrypted: AsyncIterable<Buffer> | Iterable<Buffer>,
  key: KeyObject,
  path: string,
  { nonce, tag }: { nonce: Buffer; tag: Buffer },
): AsyncGenerator<Buffer> {
  const decipher = createDecipheriv(ALGORITHM, key, nonce, OPTIONS);
  decipher.setAAD(Buffer.from(path, 'latin1'), NO_LENGTH);
  decipher.setAuthTag(tag);
  for await (const chunk of encrypted) yield decipher.update(chunk);
  checkTag(decipher);
}

/** The same of a content in memory, nonce and tag around it, which is given out after its tag was checked. @throws TagMismatch */
export function decryptWhole(stored: Buffer, key: KeyObject, path: string): Buffer {
  const decipher = createDecipheriv(ALGORITHM, key, stored.subarray(0, NONCE_BYTES), OPTIONS);
  decipher.setAAD(Buffer.from(path, 'latin1'), NO_LENGTH);
  decipher.setAuthTag(stored.subarray(-TAG_BYTES));
  const content = decipher.update(stored.subarray(NONCE_BYTES, -TAG_BYTES));
  checkTag(decipher);
  return content;
}

function checkTag(decipher: Decipheriv): void {
  try {
    decipher.final();
  } catch {
    throw new TagMismatch();
  }
}

/**
 * Decrypts bytes from `offset` of the encrypted content on, without regard for the tag: for content that has been authenticated
 * before. The first block of the key stream made the tag's key, so content begins with the second (RFC 8439, 2.8).
 */
export async function* decryptFrom(
  encrypted: AsyncIterable<Buffer>,
  key: KeyObject,
  nonce: Buffer,
  offset: number,
): AsyncGenerator<Buffer> {
  const counter = Buffer.alloc(4);
  counter.writeUInt32LE(1 + Math.floor(offset / BLOCK_BYTES));
  const decipher = createDecipheriv('chacha20', key, Buffer.concat([counter, nonce]));
  decipher.update(Buffer.alloc(offset % BLOCK_BYTES));
  for await (const chunk of encrypted) yield decipher.update(chunk);
}
