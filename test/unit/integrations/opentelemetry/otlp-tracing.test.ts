import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Metadata, credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { RuntimeServiceClient, RuntimeServiceService } from '../../../../api/gen/cri.ts';
import { Metrics } from '../../../../src/core/metrics/metrics.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { notFound } from '../../../../src/core/model/errors.ts';
import { callDescriber } from '../../../../src/cri/call-fields.ts';
import { implement } from '../../../../src/cri/handlers.ts';
import { CriServer } from '../../../../src/cri/server.ts';
import { OtlpTracing } from '../../../../src/integrations/opentelemetry/otlp-tracing.ts';
import { HANG_MS } from '../../../lib/eventually.ts';

interface Attribute {
  key: string;
  value: { stringValue?: string; intValue?: string };
}
interface Received {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status: { code?: number; message?: string };
}
interface Request {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Received[] }[] }[];
}

const warnings: string[] = [];
const drop = () => undefined;
const logger: Logger = {
  debug: drop,
  info: drop,
  warn: (line) => warnings.push(line),
  error: drop,
  with: () => logger,
};

/** A collector of OTLP over HTTP. */
async function collector(t: ExecutionContext) {
  const requests: Request[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      if (request.url === '/v1/traces') requests.push(JSON.parse(body) as Request);
      response.writeHead(request.url === '/v1/traces' ? 200 : 404).end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const spans = () => requests.flatMap(({ resourceSpans }) => resourceSpans[0]!.scopeSpans[0]!.spans);
  return { requests, spans, endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` };
}

test("a caller's trace is continued, with a span for each step", async (t) => {
  const { requests, spans, endpoint } = await collector(t);
  const tracing = new OtlpTracing({
    endpoint,
    samplingRatio: 0,
    resource: { 'service.name': 'proxmox-lxcri' },
    limitMs: HANG_MS,
    logger,
  });
  const place = await mkdtemp(join(tmpdir(), 'otlp-'));
  t.teardown(() => rm(place, { recursive: true, force: true }));
  const describer = callDescriber({ list: () => [] }, { list: () => [] });
  const parts = { logger, metrics: new Metrics(), shutdown: new AbortController().signal, describer, tracing };
  let background: Promise<unknown> | undefined;
  const { promise: later, resolve } = Promise.withResolvers<undefined>();
  const handlers = {
    runPodSandbox: () =>
      tracing.step('sandbox.create', { handler: 'lxc' }, async () => {
        await tracing.step('cni.add', {}, () => Promise.resolve());
        background = later.then(() => tracing.step('left running', {}, () => Promise.resolve()));
        return { podSandboxId: 'p' };
      }),
    stopPodSandbox: () => Promise.reject(notFound('pod sandbox', 'x')),
  };
  const services = [implement(RuntimeServiceService, handlers, { ...parts, handlers: new Set(['lxc']) })];
  const path = join(place, 'cri.sock');
  const server = new CriServer({ path, group: 0, maxMessageBytes: 16_777_216, services, logger });
  await server.start();
  const client = new RuntimeServiceClient(`unix://${path}`, credentials.createInsecure());
  t.teardown(async () => {
    client.close();
    await server.stop();
  });
  const [trace, caller] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const parent = (flags: string) => {
    const metadata = new Metadata();
    metadata.set('traceparent', `00-${trace}-${caller}-${flags}`);
    return metadata;
  };
  const run = (metadata: Metadata) =>
    new Promise<void>((done) => {
      client.runPodSandbox({ config: undefined, runtimeHandler: 'lxc' }, metadata, () => done());
    });
  await run(parent('01'));
  await run(parent('00'));
  await run(new Metadata());
  resolve(undefined);
  await background;
  await new Promise<void>((done) => {
    client.stopPodSandbox({ podSandboxId: 'x' }, parent('01'), () => done());
  });
  await tracing.stop();
  t.deepEqual(requests[0]?.resourceSpans[0]?.resource.attributes, [
    { key: 'service.name', value: { stringValue: 'proxmox-lxcri' } },
  ]);
  const all = spans();
  t.deepEqual(all.map(({ name }) => name).sort(), ['RunPodSandbox', 'StopPodSandbox', 'cni.add', 'sandbox.create']);
  const one = (name: string) => all.find((span) => span.name === name)!;
  const [rpc, create, add, stop] = ['RunPodSandbox', 'sandbox.create', 'cni.add', 'StopPodSandbox'].map(one);
  t.true(all.every(({ traceId }) => traceId === trace));
  t.deepEqual([rpc?.parentSpanId, create?.parentSpanId, add?.parentSpanId], [caller, rpc?.spanId, create?.spanId]);
  t.deepEqual([rpc?.kind, create?.kind], [2, 1]);
  t.true(BigInt(rpc!.endTimeUnixNano) >= BigInt(rpc!.startTimeUnixNano));
  const of = ({ attributes }: Received, key: string) => attributes.find((each) => each.key === key)?.value;
  t.deepEqual(of(rpc!, 'handler'), { stringValue: 'lxc' });
  t.deepEqual(of(rpc!, 'rpc.grpc.status_code'), { intValue: '0' });
  t.deepEqual(of(stop!, 'rpc.grpc.status_code'), { intValue: '5' });
  t.deepEqual(stop?.status, { code: 2, message: 'pod sandbox "x" not found' });
});

test('calls without a trace are sampled; a collector that is away harms no call', async (t) => {
  const { spans, endpoint } = await collector(t);
  const none = { traceparent: undefined, tracestate: undefined };
  const all = new OtlpTracing({ endpoint, samplingRatio: 1, resource: {}, limitMs: HANG_MS, logger });
  for (const traceparent of [undefined, 'nonsense', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`])
    t.is(await all.call('Version', { ...none, traceparent }, () => Promise.resolve(1)), 1);
  await all.stop();
  t.is(spans().length, 3);
  t.true(spans().every(({ traceId, parentSpanId }) => /^[0-9a-f]{32}$/.test(traceId) && parentSpanId === undefined));
  const away = new OtlpTracing({
    endpoint: `${endpoint}/nowhere`,
    samplingRatio: 1,
    resource: {},
    limitMs: HANG_MS,
    logger,
  });
  warnings.length = 0;
  t.is(await away.call('Version', none, () => Promise.resolve(2)), 2);
  await away.stop();
  t.is(await away.call('Version', none, () => Promise.resolve(3)), 3);
  await away.stop();
  t.deepEqual(warnings, ['Traces not delivered; spans are lost until the collector answers']);
});
