import test from 'ava';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { ArchiveReader } from '../../../../src/integrations/oci/archive-reader.ts';
import { tarOf } from './image-builder.ts';

test('long names of an archive do not fill the memory', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bounds-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'a.tar');
  // Each name is as long as one may be; an archive may have 100,000 members.
  const links = Array.from({ length: 70 }, (_, index) => {
    return { name: `${String(index)}${'n'.repeat(1_000_000)}`, type: 'symlink' as const, linkName: 'a' };
  });
  await writeFile(path, tarOf(...links));
  const error = await t.throwsAsync(new ArchiveReader({ temporary: join(directory, 'import') }).open(path), {
    instanceOf: CriError,
  });
  t.is(error?.code, StatusCode.INVALID_ARGUMENT);
  t.regex(error?.message ?? '', /the extended headers take more than 67108864 bytes/);
});
