import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceDefinition } from '@grpc/grpc-js';
import test from 'ava';
import { ImageServiceService, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { compileApi, declaredType, localName, root } from './descriptors.ts';

const api = compileApi();
const runtime = api.services.find((service) => service.name === 'RuntimeService')!;
const image = api.services.find((service) => service.name === 'ImageService')!;

test('there are two services with 37 and 6 RPCs', (t) => {
  t.is(api.services.length, 2);
  t.is(runtime.methods.length, 37);
  t.is(image.methods.length, 6);
});

test('seven RPCs stream, all from the server', (t) => {
  const methods = [...runtime.methods, ...image.methods];
  const streaming = methods.filter((method) => method.methodKind === 'server_streaming').map((method) => method.name);
  t.deepEqual(streaming.sort(), [
    'GetContainerEvents',
    'StreamContainerStats',
    'StreamContainers',
    'StreamImages',
    'StreamPodSandboxMetrics',
    'StreamPodSandboxStats',
    'StreamPodSandboxes',
  ]);
  t.is(methods.filter((method) => method.methodKind === 'unary').length, 36);
});

test('the generated services have the paths that clients call', (t) => {
  t.is(RuntimeServiceService.runPodSandbox.path, '/runtime.v1.RuntimeService/RunPodSandbox');
  t.is(ImageServiceService.pullImage.path, '/runtime.v1.ImageService/PullImage');
  const services: [DescService, ServiceDefinition][] = [
    [runtime, RuntimeServiceService],
    [image, ImageServiceService],
  ];
  for (const [declared, generated] of services) {
    t.deepEqual(
      Object.values(generated).map((method) => [method.path, method.requestStream, method.responseStream]),
      declared.methods.map((method) => [
        `/${declared.typeName}/${method.name}`,
        false,
        method.methodKind === 'server_streaming',
      ]),
    );
  }
});

test('only credentials are marked for redaction', (t) => {
  const redacted = api.messages.flatMap((message) =>
    message.fields
      .filter((field) => field.proto.options?.debugRedact)
      .map((field) => `${localName(message)}.${field.name}`),
  );
  t.deepEqual(redacted, [
    'AuthConfig.password',
    'AuthConfig.auth',
    'AuthConfig.identity_token',
    'AuthConfig.registry_token',
  ]);
});

test('environment values are bytes', (t) => {
  const keyValue = api.messages.find((message) => message.name === 'KeyValue')!;
  t.is(declaredType(keyValue.fields.find((field) => field.name === 'value')!), 'bytes');
});

test('all files are in package runtime.v1', (t) => {
  t.true(api.files.length > 10);
  for (const file of api.files) t.is(file.proto.package, 'runtime.v1', file.name);
});

// The table of wire facts is kept beside the checkout, not in it.
const table = join(root, '../shared/data/cri-v1-fields.tsv');
if (!existsSync(table)) console.log('The comparison with the wire facts is skipped: cri-v1-fields.tsv is not there.');

(existsSync(table) ? test : test.skip)('names, numbers and types match the wire facts', (t) => {
  const facts = readFileSync(table, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trimEnd().replace('map<string,string>', 'map<string, string>'));
  t.true(facts.length > 600);
  const ours = [
    ...api.services.flatMap((service) =>
      service.methods.map((method) => {
        const stream = method.methodKind === 'server_streaming' ? 'stream ' : '';
        return ['rpc', service.name, method.name, method.input.name, stream + method.output.name];
      }),
    ),
    ...api.messages.flatMap((message) =>
      message.fields.length === 0
        ? [['message', localName(message), '(no fields)']]
        : message.fields.map((field) => ['field', localName(message), field.name, field.number, declaredType(field)]),
    ),
    ...api.enums.flatMap((type) => type.values.map((value) => ['enum', localName(type), value.name, value.number])),
  ].map((row) => row.join('\t'));
  t.is(ours.length, facts.length);
  t.deepEqual(
    { ours: ours.filter((row) => !facts.includes(row)), facts: facts.filter((row) => !ours.includes(row)) },
    { ours: [], facts: [] },
  );
});
