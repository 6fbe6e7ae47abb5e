import { promisify } from 'node:util';
import { brotliDecompress, inflate, gunzip, zstdDecompress } from 'node:zlib';
import { messageOf } from '../../../utils/errors.ts';
import { corrupt } from '../digest.ts';

const DECODERS = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
};

/**
 * A JSON document without the transfer encoding of the server or a proxy (RFC 9110, 8.4): its digest is that of the
 * decoded document. Bytes that start like a document are returned unchanged, whatever the header.
 * @throws CriError DATA_LOSS for an unknown encoding, damaged data, or more than `limit` bytes.
 */
export async function decoded(body: Buffer, encoding: unknown, limit: number, what: string): Promise<Buffer> {
  const name = typeof encoding === 'string' ? encoding.trim().toLowerCase() : '';
  if (name === '' || name === 'identity' || /^\s*[{[]/.test(body.toString('latin1', 0, 64))) return body;
  if (!isKnown(name)) throw corrupt(what, `has the unsupported encoding ${JSON.stringify(name.slice(0, 40))}`);
  try {
    return await DECODERS[name](body, { maxOutputLength: limit });
  } catch (error) {
    throw corrupt(what, `cannot be decoded from ${name}: ${messageOf(error)}`);
  }
}

function isKnown(name: string): name is keyof typeof DECODERS {
  return Object.hasOwn(DECODERS, name);
}
