import test from 'ava';
import { execFileSync } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { openBlob } from '../../../../src/integrations/oci/archive/layout.ts';
import { sha256 } from './image-builder.ts';

test('a file provides a verified blob or a range', async (t) => {
  const directory = await mkdtemp('/tmp/range-');
  t.teardown(() => execFileSync('rm', ['-rf', '--', directory]));
  const data = Buffer.from('0123456789');
  const path = join(directory, 'blob');
  await writeFile(path, data);
  const layer = { digest: sha256(data), size: data.length, mediaType: '' };
  t.is((await buffer(openBlob(path, layer))).toString(), '0123456789');
  t.is((await buffer(openBlob(path, layer, undefined, { offset: 3, length: 4 }))).toString(), '3456');
  const short = await t.throwsAsync(buffer(openBlob(path, layer, undefined, { offset: 8, length: 4 })), {
    instanceOf: CriError,
  });
  t.is(short?.code, StatusCode.DATA_LOSS);
  await t.throwsAsync(buffer(openBlob(path, { ...layer, digest: sha256('else') })), { instanceOf: CriError });
});
