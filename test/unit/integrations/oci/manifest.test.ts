import test from 'ava';
import { parseImageConfig } from '../../../../src/core/lifecycle/images/image-config.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { amd64Level } from '../../../../src/integrations/oci/cpu-level.ts';
import { parseManifest } from '../../../../src/integrations/oci/manifest.ts';
import { choosePlatform, parsePlatform, type Platform } from '../../../../src/integrations/oci/platform.ts';
import { resolveImage } from '../../../../src/integrations/oci/resolve.ts';
import { sha256 } from './image-builder.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

const v2 = ['cx16', 'lahf_lm', 'popcnt', 'pni', 'ssse3', 'sse4_1', 'sse4_2'];
const v3 = [...v2, 'abm', 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave'];
const v4 = [...v3, 'avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'];

test('the amd64 level is the highest fully supported one', (t) => {
  const levels = [['fpu'], v2, v3, v4, v4.filter((flag) => flag !== 'sse4_2'), [...v3, 'avx512f']];
  t.deepEqual(
    levels.map((flags) => amd64Level(new Set(flags))),
    [1, 2, 3, 4, 1, 3],
  );
});

test('documents of very many values are refused', (t) => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${index}`, 'v']));
  const config = (Labels: object) =>
    Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels } }));
  t.is(Object.keys(parseImageConfig(config(many(19_000))).config.Labels).length, 19_000);
  t.throws(() => parseImageConfig(config(many(20_000))), {
    message: 'image configuration: has more than 20000 values',
  });
  const index = (annotations: object) =>
    Buffer.from(
      JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: '', digest: sha256(''), size: 0, annotations }] }),
    );
  t.is(parseManifest(index(many(99_000)), 'm').kind, 'index');
  t.throws(() => parseManifest(index(many(100_000)), 'm'), { message: 'm: has more than 100000 values' });
});

const described = (variant: string | undefined, architecture = 'amd64') => ({
  mediaType: MANIFEST,
  digest: sha256(`${architecture}${String(variant)}`),
  size: 1,
  platform: { os: 'linux', architecture, variant },
});
const avx2: Platform = { os: 'linux', architecture: 'amd64', variants: ['v3', 'v2', 'v1'] };

test("the best manifest within the processor's level is chosen", (t) => {
  const chosen = (variants: (string | undefined)[]) =>
    choosePlatform(
      variants.map((variant) => described(variant)),
      avx2,
    ).map(({ platform }) => platform?.variant);
  t.deepEqual(chosen(['v4', 'v1']), ['v1']);
  t.deepEqual(chosen(['v4', undefined]), [undefined]);
  t.deepEqual(chosen([undefined, 'v2', 'v3', 'v4']), ['v3']);
  const error = t.throws(() => chosen(['v4']), { instanceOf: CriError });
  t.is(error?.code, StatusCode.NOT_FOUND);
  t.regex(error?.message ?? '', /linux\/amd64\/v4/);
});

test('a platform without a variant matches any machine', (t) => {
  const plain = parsePlatform('linux/amd64').variants;
  t.is(plain.at(-1), 'v1');
  t.deepEqual(parsePlatform('linux/amd64/v9').variants, plain);
  t.deepEqual(parsePlatform('linux/amd64/v1').variants, ['v1']);
  t.deepEqual(parsePlatform('linux/arm/v7').variants, ['v7', 'v6', 'v5']);
  t.throws(() => parsePlatform('linux/amd64/v999999999'), { instanceOf: CriError });
});

test('an image is found beside attestations and nested indexes', async (t) => {
  const documents = new Map<string, Buffer>();
  const add = (value: object, mediaType = MANIFEST) => {
    const data = Buffer.from(JSON.stringify(value));
    documents.set(sha256(data), data);
    return { mediaType, digest: sha256(data), size: data.length };
  };
  const config = add({ rootfs: {} }, 'application/vnd.oci.image.config.v1+json');
  const manifest = add({ schemaVersion: 2, config, layers: null });
  const attestation = {
    ...add({ schemaVersion: 2, config: { ...config, mediaType: 'x' }, layers: [] }),
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  };
  const index = (...manifests: object[]) => ({ schemaVersion: 2, mediaType: INDEX, manifests });
  const other = add(index({ ...manifest, platform: { os: 'linux', architecture: 's390x' } }), INDEX);
  const ours = add(index({ ...manifest, platform: { os: 'linux', architecture: 'amd64' } }, attestation), INDEX);
  const resolve = async (top: object) => {
    const found = await resolveImage(Buffer.from(JSON.stringify(top)), avx2, ({ digest }) =>
      Promise.resolve(documents.get(digest)!),
    );
    return found.manifestDigest;
  };
  t.is(await resolve(index(ours, attestation)), manifest.digest);
  t.is(await resolve(index(attestation, other, ours)), manifest.digest);
  t.is(await resolve(index(manifest, attestation)), manifest.digest);
  const missing = await t.throwsAsync(resolve(index(other, attestation)), { instanceOf: CriError });
  t.is(missing?.code, StatusCode.NOT_FOUND);
  t.regex(missing?.message ?? '', /linux\/s390x/);
  const nothing = await t.throwsAsync(resolve(index(attestation)), { instanceOf: CriError });
  t.is(nothing?.code, StatusCode.NOT_FOUND);
  let deep = ours;
  for (let depth = 0; depth < 5; depth++) deep = add(index(deep), INDEX);
  await t.throwsAsync(resolve(index(deep)), { message: /nested too deeply/ });
  const wide = Array.from({ length: 40 }, (_, i) => add({ ...index(other), annotations: { i: String(i) } }, INDEX));
  await t.throwsAsync(resolve(index(...wide)), { message: /nested too deeply/ });
});

test('null and missing lists are empty', (t) => {
  const config = { mediaType: '', digest: sha256('c'), size: 1 };
  for (const document of [{ config, layers: null }, { config }, { config, layers: [], manifests: null }]) {
    const parsed = parseManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, ...document })), 'manifest');
    t.like(parsed, { kind: 'image', layers: [] });
  }
  const empty = { schemaVersion: 2, mediaType: INDEX, manifests: null };
  t.deepEqual(parseManifest(Buffer.from(JSON.stringify(empty)), 'index'), { kind: 'index', manifests: [] });
  for (const rootfs of [undefined, null, {}, { type: 'layers', diff_ids: null }, { diff_ids: [] }]) {
    t.deepEqual(parseImageConfig(Buffer.from(JSON.stringify({ rootfs }))).diffIds, []);
  }
});

test('errors about long keys and types stay short', (t) => {
  const labels = { ['k'.repeat(1e6)]: 1 };
  const expected = { instanceOf: CriError, message: /^.{1,400}$/ };
  t.throws(() => parseImageConfig(Buffer.from(JSON.stringify({ config: { Labels: labels } }))), expected);
  const config = { mediaType: '', digest: sha256('a'), size: 1, annotations: labels };
  const document = JSON.stringify({ schemaVersion: 2, config, layers: [] });
  t.throws(() => parseManifest(Buffer.from(document), 'manifest'), expected);
  const long = { mediaType: `x.foreign.${'y'.repeat(1e6)}`, digest: sha256('a'), size: 1 };
  for (const more of [{ config: long }, { config: { ...long, mediaType: '' }, layers: [long] }]) {
    t.throws(() => parseManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, ...more })), 'manifest'), expected);
  }
});
