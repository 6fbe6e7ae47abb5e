import { join } from 'node:path';
import { exists } from '../../src/utils/fs/exists.ts';
import { buildImages } from '../fixtures/images/build.ts';
import { catalogue, type Image, type Layer } from '../fixtures/images/catalogue.ts';

/** agnhost with what its Dockerfile adds, of Debian. */
function agnhostLayer(binaries: string): Layer {
  return {
    packages: ['bash', 'bind9-dnsutils', 'curl', 'iproute2', 'libc-bin', 'netcat-openbsd', 'socat'],
    async fill(tree, stage) {
      tree.copy('/agnhost', join(binaries, 'agnhost'));
      tree.symlink('/agnhost-2', 'agnhost');
      for (const name of ['localhost.crt', 'localhost.key']) tree.copy(`/${name}`, join(binaries, name), 0o644);
      tree.directory('/uploads');
      for (const path of [
        '/bin/bash',
        '/usr/bin/dig',
        '/usr/bin/curl',
        '/bin/ip',
        '/bin/ss',
        '/usr/bin/socat',
        '/usr/bin/getent',
      ])
        await tree.program(stage, path);
      await tree.program(stage, '/bin/nc.openbsd', '/usr/bin/nc');
    },
  };
}

/**
 * Builds the images of test/node into an OCI image layout. `binaries` is the directory that test/node/build prints; without
 * agnhost in it there is no such image.
 */
export async function buildNodeImages(cache: string, binaries: string, out: string): Promise<void> {
  const { base, env } = { base: catalogue['busybox']!, env: catalogue['busybox']!.config.Env! };
  const agnhost: Image = {
    // Some specs name an older one, or the one with the resolver of glibc, which this is.
    references: ['agnhost:2.66.1', 'agnhost:2.55', 'glibc-dns-testing:2.1.1'].map((name) => `e2e-test-images/${name}`),
    layers: [...base.layers, agnhostLayer(binaries)],
    config: { Env: env, Entrypoint: ['/agnhost'], Cmd: ['pause'] },
  };
  const renamed = (name: string, ...references: string[]): Image => ({ ...catalogue[name]!, references });
  await buildImages(cache, out, [
    ...((await exists(join(binaries, 'agnhost'))) ? [agnhost] : []),
    renamed('busybox', 'e2e-test-images/busybox:1.37.0-2'),
    renamed('pause', 'pause:3.10.2'),
    renamed('nginx', 'e2e-test-images/nginx:1.27.0-2', 'e2e-test-images/nginx:1.28.0-2'),
    renamed('nonewprivs', 'e2e-test-images/nonewprivs:1.4'),
    ...['test-1', 'test-2', 'test-3'].map((name) => catalogue[name]!),
  ]);
}

if (import.meta.main) {
  const [cache, binaries, out] = process.argv.slice(2);
  await buildNodeImages(cache!, binaries!, out!);
}
