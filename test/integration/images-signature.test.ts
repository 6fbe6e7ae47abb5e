import anyTest, { type ExecutionContext } from 'ava';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { ImageRegistry } from '../../src/core/model/image.ts';
import { readVerdict } from '../../src/integrations/oci/signature/policy.ts';
import { SignedRegistry, type SignedRegistryOptions } from '../../src/integrations/oci/signature/signed-registry.ts';
import { run } from '../../src/host/processes/run.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import {
  isSandboxed,
  mountCopy,
  newService,
  removeCopy,
  silent,
  startRegistry,
  temporary,
  writeLayout,
} from './images-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

const untouched: ImageRegistry = {
  name: 'untouched',
  resolve: () => Promise.reject(new Error('pulled without a proof')),
};

function signed(directory: string, policyFile: string, rest: Partial<SignedRegistryOptions> = {}): SignedRegistry {
  return new SignedRegistry({
    registry: untouched,
    policyFile,
    temporary: join(directory, 'signed'),
    authFiles: [],
    insecureRegistries: [],
    logger: silent,
    ...rest,
  });
}

async function refusal(t: ExecutionContext, promise: Promise<unknown>): Promise<string> {
  const error = await t.throwsAsync(promise, { instanceOf: CriError });
  t.is(error?.code, StatusCode.UNKNOWN);
  t.regex(error?.message ?? '', /^SignatureValidationFailed: /);
  return error?.message ?? '';
}

test('The most specific scope of a policy decides', async (t) => {
  const directory = await temporary(t);
  const file = join(directory, 'policy.json');
  const [accept, reject] = [[{ type: 'insecureAcceptAnything' }], [{ type: 'reject' }]];
  const sign = [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k' }];
  await writeFile(
    file,
    JSON.stringify({
      default: reject,
      transports: {
        docker: {
          'a.io': accept,
          'a.io/team': sign,
          'a.io/team/app': [...accept, ...reject],
          'a.io/team/app:ok': accept,
          '*.wild.io': sign,
        },
        dir: { '': accept },
      },
    }),
  );
  const verdict = (registry: string, repository: string, tag = 'v1') =>
    readVerdict(file, { registry, repository, tag, digest: undefined });
  t.is(await verdict('a.io', 'x'), 'accept');
  t.is(await verdict('a.io', 'team/x'), 'verify');
  t.is(await verdict('a.io', 'teams/x'), 'accept');
  t.is(await verdict('a.io', 'team/app'), 'reject');
  t.is(await verdict('a.io', 'team/app', 'ok'), 'accept');
  t.is(await verdict('x.wild.io:5000', 'y'), 'verify');
  t.is(await verdict('b.io', 'constructor'), 'reject');
  t.is(
    await readVerdict(join(directory, 'none'), { registry: 'a', repository: 'b', tag: 'c', digest: undefined }),
    undefined,
  );
  for (const text of ['{', '{}', '{"default": []}', '{"default": [{}]}']) {
    await writeFile(file, text);
    await refusal(t, verdict('a.io', 'x'));
  }
  const missing = signed(directory, join(directory, 'none'));
  const reference = { registry: 'a.io', repository: 'x', tag: 'v1', digest: undefined };
  t.regex(await refusal(t, missing.resolve(reference, undefined)), /does not exist/);
});

test('Only correctly signed images are pulled', async (t) => {
  const directory = await temporary(t);
  const host = await startRegistry(t, directory);
  const home = join(directory, 'gnupg');
  await mkdir(home, { mode: 0o700 });
  await mkdir(join(directory, 'registries.d'));
  const env = { PATH: process.env['PATH'], HOME: directory, GNUPGHOME: home };
  t.teardown(() => run('gpgconf', ['--kill', 'all'], { env }).catch(() => undefined));
  const store = `docker:\n  ${host}:\n    sigstore: file://${directory}/signatures\n    sigstore-staging: file://${directory}/signatures\n`;
  await writeFile(join(directory, 'registries.d/test.yaml'), store);
  for (const name of ['right', 'other']) {
    const uid = `${name}@test.invalid`;
    await run('gpg', ['--batch', '--passphrase', '', '--quick-generate-key', uid, 'ed25519', 'sign', 'never'], { env });
    await run('gpg', ['--batch', '--armor', '--output', join(directory, `${name}.gpg`), '--export', uid], { env });
  }
  const image = buildImage([tarOf({ name: 'signed', body: 'yes' })]);
  const layout = await writeLayout(join(directory, 'layout'), image);
  const push = (name: string, ...sign: string[]) =>
    run(
      'skopeo',
      [
        ...[
          '--insecure-policy',
          `--registries.d=${directory}/registries.d`,
          'copy',
          '--dest-tls-verify=false',
          ...sign,
        ],
        ...[`oci:${layout}`, `docker://${host}/${name}:v1`],
      ],
      { env },
    );
  await push('good', '--sign-by', 'right@test.invalid');
  await push('bad', '--sign-by', 'other@test.invalid');
  await push('plain');

  const policyFile = join(directory, 'policy.json');
  const docker = { [host]: [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: join(directory, 'right.gpg') }] };
  await writeFile(policyFile, JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
  const root = join(directory, 'data');
  const registry = signed(directory, policyFile, { registriesDir: join(directory, 'registries.d') });
  const { images, store: rootfs } = await newService(t, root, {}, { sources: [registry] });
  const id = await images.pull(`${host}/good:v1`);
  t.is(id, image.configDigest);
  const path = await mountCopy(rootfs, 'c1', images.status(id)?.chainId);
  t.is(await readFile(join(path, 'signed'), 'utf8'), 'yes');
  await removeCopy(rootfs, 'c1');
  await refusal(t, images.pull(`${host}/bad:v1`));
  await refusal(t, images.pull(`${host}/plain:v1`));
  t.regex(await refusal(t, images.pull('elsewhere.invalid/x')), /is rejected by/);
  await t.throwsAsync(images.pull(`${host}/none:v1`), { code: StatusCode.NOT_FOUND });
  t.is(images.list().length, 1);
  t.deepEqual(await readdir(join(directory, 'signed')), []);

  const path2 = process.env['PATH'];
  process.env['PATH'] = '/nonexistent';
  t.teardown(() => (process.env['PATH'] = path2));
  t.regex(await refusal(t, images.pull(`${host}/good:v1`)), /install skopeo/);
  process.env['PATH'] = path2;
});
