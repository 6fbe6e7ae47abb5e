import test from 'ava';
import { committedConfig } from '../../../../../src/core/lifecycle/images/commit-config.ts';
import { parseImageConfig } from '../../../../../src/core/lifecycle/images/image-config.ts';
import { StatusCode } from '../../../../../src/core/model/errors.ts';

const DIGESTS = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`);
const KEPT = {
  architecture: 'amd64',
  os: 'linux',
  'os.version': 'kept',
  config: { Env: ['PATH=/bin', 'A=1'], Cmd: ['old'], WorkingDir: '/srv', Labels: { a: '1' }, Shell: ['kept'] },
  rootfs: { type: 'layers', diff_ids: DIGESTS.slice(0, 1) },
  history: [{ created_by: 'base' }],
};
const BASE: object = { ...KEPT, container_config: { Cmd: ['dropped'] } };
const CREATED = '2026-11-30T12:00:00.000Z';

function commit(changes: string[], { base = BASE, author = '', message = '' } = {}) {
  const facts = { layer: DIGESTS[1] ?? '', created: CREATED, createdBy: 'commit', changes, author, message };
  return committedConfig(Buffer.from(JSON.stringify(base)), facts);
}

test('A committed image continues its base', (t) => {
  const document = JSON.parse(commit([], { author: 'me', message: 'why' }).toString()) as object;
  t.deepEqual(document, {
    ...KEPT,
    created: CREATED,
    author: 'me',
    rootfs: { type: 'layers', diff_ids: DIGESTS },
    history: [{ created_by: 'base' }, { created: CREATED, created_by: 'commit', author: 'me', comment: 'why' }],
  });
  t.deepEqual(parseImageConfig(commit([], { base: {} })).diffIds, DIGESTS.slice(1));
});

test('Instructions change the configuration', (t) => {
  const { config } = parseImageConfig(
    commit([
      'CMD ["sleep", "1"]',
      'env=A=two words',
      'ENV B "3"',
      'EXPOSE 80 53/udp',
      'LABEL=b=x',
      "LABEL a='y z'",
      'STOPSIGNAL SIGINT',
      'USER=1:2',
      'VOLUME ["/data"]',
      'WORKDIR sub',
    ]),
  );
  t.deepEqual(config, {
    User: '1:2',
    Env: ['PATH=/bin', 'A=two words', 'B=3'],
    Entrypoint: [],
    Cmd: ['sleep', '1'],
    WorkingDir: '/srv/sub',
    Volumes: ['/data'],
    StopSignal: 'SIGINT',
    Labels: { a: 'y z', b: 'x' },
    ExposedPorts: ['53/udp', '80/tcp'],
  });
  t.like(parseImageConfig(commit(['ENTRYPOINT echo hi'])).config, {
    Entrypoint: ['/bin/sh', '-c', 'echo hi'],
    Cmd: [],
  });
  t.like(parseImageConfig(commit(['ENTRYPOINT=["x"]', 'CMD=["y"]'])).config, { Entrypoint: ['x'], Cmd: ['y'] });
});

test('Other instructions are refused by name', (t) => {
  for (const [change, message] of [
    ['RUN=x', /^changes\[1\]: "RUN=x" is none of CMD, ENTRYPOINT/],
    ['CMD', /is none of/],
    ['CMD=', /is none of/],
    ['CMD=["a", 1]', /^changes\[1\]: .* is no JSON list of strings/],
    ['ENV=A', /must be KEY=VALUE/],
    ['EXPOSE=http', /"http" is no port/],
  ] as const) {
    t.throws(() => commit(['USER=1', change]), { code: StatusCode.INVALID_ARGUMENT, message }, change);
  }
});
