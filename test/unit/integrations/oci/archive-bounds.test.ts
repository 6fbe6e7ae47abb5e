import test from 'ava';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { ArchiveReader } from '../../../../src/integrations/oci/archive-reader.ts';
import { sha256, tarOf } from './image-builder.ts';

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

test('the documents of an archive do not fill the memory', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bounds-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const words = /the manifests and configurations of its images take more than 67108864 bytes/;
  // Images would be printed whole.
  const drop = () => undefined;
  const reader = new ArchiveReader({ temporary: join(directory, 'import') });
  const refuses = async (...members: { name: string; body: string }[]) => {
    const path = join(directory, 'a.tar');
    await writeFile(path, tarOf(...members));
    t.regex((await t.throwsAsync(reader.open(path).then(drop), { instanceOf: CriError }))?.message ?? '', words);
  };
  // One configuration of 4 MiB, twenty times.
  const config = ' '.repeat(4_194_304);
  const saved = Array.from({ length: 20 }, () => ({ Config: 'c', Layers: [] }));
  await refuses({ name: 'c', body: config }, { name: 'manifest.json', body: JSON.stringify(saved) });
  const blob = (body: string) => ({ name: `blobs/sha256/${sha256(body).slice(7)}`, body });
  const described = (body: string) => ({ mediaType: '', digest: sha256(body), size: body.length });
  const manifests = Array.from({ length: 20 }, (_, index) =>
    JSON.stringify({ schemaVersion: 2, config: described(config), layers: [], annotations: { index } }),
  );
  const index = JSON.stringify({ schemaVersion: 2, manifests: manifests.map(described) });
  const layout = [
    { name: 'oci-layout', body: '{}' },
    { name: 'index.json', body: index },
  ];
  await refuses(...layout, blob(config), ...manifests.map(blob));
});
