import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import anyTest, { type ExecutionContext } from 'ava';
import {
  ImageServiceService,
  LayerState,
  ListImagesRequest,
  PullRequest,
  type PullResponse,
} from '../../api/gen/cri.ts';
import { ImageStoreService } from '../../api/gen/proxmoxlxcri/v1/images.ts';
import { type CriError, StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { Cli } from './cli-fixture.ts';
import { isSandboxed, skopeo, startRegistry, temporary, writeLayout } from './images-fixture.ts';
import { ServerFixture } from './server-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

/** A registry whose blobs can be held after half of their bytes. */
class HeldRegistry {
  readonly #server = createServer();
  readonly #upstream: string;
  /** Digests of blobs that are held, or missing. */
  readonly held = new Set<string>();
  readonly missing = new Set<string>();
  #release: PromiseWithResolvers<undefined> = Promise.withResolvers();
  /** Emits 'close' when the client is gone. */
  waiting: ServerResponse | undefined;

  constructor(upstream: string) {
    this.#upstream = upstream;
    this.#server.on('request', (request, response) => {
      this.#answer(request.url ?? '', request.headers.accept, response).catch(() => response.destroy());
    });
  }

  async listen(t: ExecutionContext): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    t.teardown(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    return `127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  release(): void {
    this.held.clear();
    this.#release.resolve(undefined);
    this.#release = Promise.withResolvers();
  }

  async #answer(path: string, accept: string | undefined, response: ServerResponse): Promise<void> {
    const digest = path.split('/').at(-1) ?? '';
    if (this.missing.has(digest)) {
      response.writeHead(404).end();
      return;
    }
    const released = this.#release.promise;
    const found = await fetch(`http://${this.#upstream}${path}`, { headers: accept === undefined ? {} : { accept } });
    const body = Buffer.from(await found.arrayBuffer());
    const type = found.headers.get('content-type') ?? '';
    response.writeHead(found.status, { 'content-type': type, 'content-length': body.length });
    if (this.held.has(digest)) {
      this.waiting = response;
      response.write(body.subarray(0, body.length / 2));
      await released;
      response.end(body.subarray(body.length / 2));
    } else {
      response.end(body);
    }
  }
}

async function setUp(t: ExecutionContext) {
  const directory = await temporary(t);
  const upstream = await startRegistry(t, directory);
  const registry = new HeldRegistry(upstream);
  const host = await registry.listen(t);
  const tars = ['a', 'b', 'c'].map((name) => tarOf({ name, body: randomBytes(400_000).toString('hex') }));
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  const built = buildImage(tars, { compress: gzipSync, mediaType });
  const layout = await writeLayout(join(directory, 'layout'), built);
  await skopeo('copy', '--dest-tls-verify=false', `oci:${layout}`, `docker://${upstream}/team/app:v1`);
  const server = await ServerFixture.make(t);
  const abort = new AbortController();
  const pull = (name = 'app:v1') => {
    const request = PullRequest.create({ image: `${host}/team/${name}` });
    return server.client.stream(ImageStoreService.pull, request, abort.signal) as AsyncIterable<PullResponse>;
  };
  return { directory, registry, host, built, server, pull, abort };
}

/** The last state of each layer, after a check of the order of its states. */
async function statesOf(t: ExecutionContext, responses: AsyncIterable<PullResponse>) {
  const states = new Map<number, LayerState>();
  let id = '';
  for await (const { layers, imageId } of responses) {
    for (const { index, state, received, size, digest } of layers) {
      t.regex(digest, /^sha256:[0-9a-f]{64}$/);
      t.true(state >= (states.get(index) ?? 0) && received <= size && size > 0n);
      states.set(index, state);
    }
    id = imageId;
  }
  return { id, states: [...states.entries()].sort(([a], [b]) => a - b).map(([, state]) => state) };
}

test('A pull reports its layers up to the id', async (t) => {
  const { registry, built, pull, server, host } = await setUp(t);
  const digest = built.layers[1]?.digest ?? '';
  registry.held.add(digest);
  const seen = new Set<LayerState>();
  let released = false;
  const watched = async function* () {
    for await (const response of pull()) {
      const layer = response.layers.find((each) => each.digest === digest);
      if (layer !== undefined) seen.add(layer.state);
      if (layer?.state === LayerState.LAYER_STATE_DOWNLOADING && !released) {
        // Half of it comes, in pieces, and the rest only then.
        t.true(layer.received <= layer.size / 2n);
        released = layer.received === layer.size / 2n;
        if (released) registry.release();
      }
      yield response;
    }
  };
  const done = LayerState.LAYER_STATE_DONE;
  t.deepEqual(await statesOf(t, watched()), { id: built.configDigest, states: [done, done, done] });
  t.true(seen.has(LayerState.LAYER_STATE_DOWNLOADING) && seen.has(done));

  const present = LayerState.LAYER_STATE_PRESENT;
  t.deepEqual(await statesOf(t, pull()), { id: built.configDigest, states: [present, present, present] });

  const cli = new Cli(server, server.directory);
  const again = await cli.run('pull', `${host}/team/app:v1`);
  t.deepEqual([again.code, again.stdout], [0, `${built.configDigest}\n`]);
  t.regex(again.stderr, /^Pulling .*\n(?:[0-9a-f]{13} {2}already present {2}.* KiB\n){3}Pulled .* in .* s\n$/);
});

test('A failing pull ends with its error', async (t) => {
  const { registry, built, pull, server, host } = await setUp(t);
  const failure = async (responses: AsyncIterable<PullResponse>) => {
    const error = await t.throwsAsync(statesOf(t, responses));
    return (await server.client.explain(error)) as CriError;
  };
  t.is((await failure(pull('none:v1'))).code, StatusCode.NOT_FOUND);
  t.like(
    await failure(server.client.stream(ImageStoreService.pull, PullRequest.create(), new AbortController().signal)),
    {
      code: StatusCode.INVALID_ARGUMENT,
      message: 'image: must not be empty',
    },
  );
  registry.missing.add(built.layers[2]?.digest ?? '');
  t.is((await failure(pull())).code, StatusCode.NOT_FOUND);
  const { images } = await server.client.call(ImageServiceService.listImages, ListImagesRequest.create());
  t.false(images.some(({ repoTags }) => repoTags.includes(`${host}/team/app:v1`)));
});

test('A cancelled call cancels the pull', async (t) => {
  const { registry, built, pull, server, abort } = await setUp(t);
  registry.held.add(built.layers[0]?.digest ?? '');
  const cancelled = t.throwsAsync(async () => {
    for await (const { layers } of pull()) {
      if (!layers.some(({ received, state }) => state === LayerState.LAYER_STATE_DOWNLOADING && received > 0n))
        continue;
      if (registry.waiting !== undefined) abort.abort();
    }
  });
  const error = (await server.client.explain(await cancelled)) as CriError;
  t.is(error.code, StatusCode.CANCELLED);
  await eventually('the end of the transfer', () => registry.waiting?.destroyed);
  await eventually('the log line', async () => /"Pull failed".*"CANCELLED"/.test(await server.log()));
  const incoming = join(server.directory, 'root/content/incoming');
  await eventually('no partial layer', async () => (await readdir(incoming)).length === 0);
});
