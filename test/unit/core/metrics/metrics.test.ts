import test from 'ava';
import { Readable } from 'node:stream';
import { Metrics } from '../../../../src/core/metrics/metrics.ts';
import { observed } from '../../../../src/core/metrics/observed.ts';
import { unavailable } from '../../../../src/core/model/errors.ts';
import type { BlobStaging } from '../../../../src/core/model/image-files.ts';
import { lintMetrics } from '../../../lib/prometheus.ts';

test('names follow the conventions of Prometheus', async (t) => {
  const metrics = new Metrics();
  metrics.describeBuild({ version: '0.1.0', commit: undefined, node: '24.0.0' });
  const text = await metrics.registry.metrics();
  t.deepEqual(lintMetrics(text), []);
  t.regex(text, /^proxmox_lxcri_build_info\{version="0.1.0",commit="",node="24.0.0"\} 1$/m);
  for (const name of ['process_resident_memory_bytes', 'process_open_fds', 'nodejs_eventloop_lag_p99_seconds'])
    t.regex(text, new RegExp(`^${name} \\d`, 'm'));
  // The check itself, on what promtool refuses.
  const planted = '# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n# TYPE b counter\nb 1\n';
  t.deepEqual(lintMetrics(planted), [
    'a_total: a gauge must not end in _total',
    'b: has no help',
    'b: a counter must end in _total',
  ]);
});

test('pulls count their bytes, layers and results', async (t) => {
  const { pulls, registry } = new Metrics();
  const pieces: number[] = [];
  const blobs: BlobStaging = {
    receive: async (_digest, open, _signal, counted) => {
      for await (const piece of await open()) counted?.((piece as Buffer).length);
      return '/blob';
    },
    discard: async () => undefined,
    clear: async () => undefined,
  };
  const watched = pulls.observed(blobs);
  const layer = (...parts: string[]) =>
    watched.receive(
      'sha256:0',
      async () => Readable.from(parts.map((part) => Buffer.from(part))),
      new AbortController().signal,
      (bytes) => pieces.push(bytes),
    );
  const running = Promise.withResolvers<undefined>();
  const pull = pulls.run(async () => {
    await layer('abc', 'de');
    await running.promise;
  });
  const page = () => registry.metrics();
  t.regex(await page(), /^proxmox_lxcri_image_pulls_in_progress 1$/m);
  running.resolve(undefined);
  await pull;
  await t.throwsAsync(pulls.run(() => Promise.reject(unavailable('no registry'))));
  await t.throwsAsync(watched.receive('sha256:1', () => Promise.reject(new Error('cut')), AbortSignal.timeout(1000)));
  t.deepEqual(pieces, [3, 2]);
  const text = await page();
  for (const line of [
    'image_pulls_total{code="OK"} 1',
    'image_pulls_total{code="UNAVAILABLE"} 1',
    'image_pulls_in_progress 0',
    'image_pull_bytes_total 5',
    'image_pull_layers_total{result="success"} 1',
    'image_pull_layers_total{result="failure"} 1',
    'image_pull_duration_seconds_count 1',
    'image_pull_throughput_bytes_per_second_count 1',
  ])
    t.true(text.includes(`proxmox_lxcri_${line}\n`), line);
});

test('operations of a part are measured, and nothing else of it changes', async (t) => {
  class Part {
    readonly #state = { calls: 0 };
    get calls(): number {
      return this.#state.calls;
    }
    async work(fails: boolean): Promise<number> {
      if (fails) throw new Error('broken');
      return (this.#state.calls += 1);
    }
    async other(): Promise<number> {
      return this.work(false);
    }
  }
  const { cni, registry } = new Metrics();
  const part = new Part();
  const watched = observed(part, ['work'], (operation, work) => cni.run({ plugin: 'bridge', operation }, work));
  t.is(await watched.work(false), 1);
  await t.throwsAsync(watched.work(true), { message: 'broken' });
  t.is(await watched.other(), 2);
  t.is(watched.calls, 2);
  const text = await registry.metrics();
  const labels = 'plugin="bridge",operation="work"';
  t.true(text.includes(`proxmox_lxcri_cni_operations_total{${labels},result="success"} 1\n`));
  t.true(text.includes(`proxmox_lxcri_cni_operations_total{${labels},result="failure"} 1\n`));
  t.true(text.includes(`proxmox_lxcri_cni_operation_duration_seconds_count{${labels}} 2\n`));
});

test('space is read at a scrape, not twice at once, and its failure is no failure of the page', async (t) => {
  const metrics = new Metrics();
  let reads = 0;
  metrics.watchSpace(async () => {
    reads += 1;
    return new Map([['overlayfs', { used: 5n, free: 7n }]]);
  });
  for (const text of [await metrics.registry.metrics(), await metrics.registry.metrics()]) {
    t.regex(text, /^proxmox_lxcri_rootfs_store_used_bytes\{store="overlayfs"\} 5$/m);
    t.regex(text, /^proxmox_lxcri_rootfs_store_free_bytes\{store="overlayfs"\} 7$/m);
  }
  t.is(reads, 1);
  const broken = new Metrics();
  broken.watchSpace(() => Promise.reject(new Error('suspended')));
  t.notRegex(await broken.registry.metrics(), /^proxmox_lxcri_rootfs_store_used_bytes\{/m);
});

test('pods and containers are counted by handler and state', async (t) => {
  const metrics = new Metrics();
  const pods = [{ handler: 'lxc', state: 'ready' as const }];
  metrics.watchInventory({
    handlers: () => ['lxc', 'crun'],
    pods: () => pods,
    containers: () => [{ handler: 'crun', state: 'exited' }],
    images: () => 3,
    plugins: () => 2,
    warmPools: () => new Map(),
    networkPool: () => ({ ready: 0, creating: 0, releasing: 0, claimed: 0, missed: 0 }),
  });
  const lines = async () =>
    (await metrics.registry.metrics())
      .split('\n')
      .filter((line) => /^proxmox_lxcri_(pods|cont.*|images|nri_plugins)[{ ]/.test(line));
  const expected = [
    'proxmox_lxcri_pods{handler="lxc",state="ready"} 1',
    'proxmox_lxcri_pods{handler="lxc",state="stopped"} 0',
    'proxmox_lxcri_containers{handler="crun",state="exited"} 1',
    'proxmox_lxcri_images 3',
    'proxmox_lxcri_nri_plugins 2',
  ];
  const found = await lines();
  for (const line of expected) t.true(found.includes(line), line);
  pods.pop();
  t.true((await lines()).includes('proxmox_lxcri_pods{handler="lxc",state="ready"} 0'));
});
