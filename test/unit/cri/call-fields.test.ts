import test from 'ava';
import fc from 'fast-check';
import { callDescriber } from '../../../src/cri/call-fields.ts';

const pod = {
  id: 'p1',
  handler: 'lxc',
  handlerChosenBy: 'routing[0]',
  spec: { metadata: { name: 'web-0', namespace: 'default', uid: 'u', attempt: 2 } },
};
const container = {
  id: 'c1',
  sandboxId: 'p1',
  spec: { metadata: { name: 'app', attempt: 1 }, image: { name: 'nginx' } },
};
const describer = callDescriber({ list: () => [pod] as never }, { list: () => [container] as never });
const ofPod = { pod: 'default/web-0', podUid: 'u', podAttempt: 2 };

test('an RPC is logged by pod, container, image, handler', (t) => {
  t.deepEqual(describer.ofRequest({ config: pod.spec, runtimeHandler: 'crun' }), { ...ofPod, handler: 'crun' });
  t.deepEqual(describer.ofRequest({ podSandboxId: 'p1', config: { ...container.spec, image: { image: 'nginx' } } }), {
    ...ofPod,
    podSandboxId: 'p1',
    handler: 'lxc',
    container: 'app',
    containerAttempt: 1,
    image: 'nginx',
  });
  t.like(describer.ofRequest({ containerId: 'c1' }), {
    containerId: 'c1',
    podSandboxId: 'p1',
    container: 'app',
    image: 'nginx',
  });
  t.deepEqual(describer.ofRequest({ containerId: 'gone' }), { containerId: 'gone' });
  t.deepEqual(describer.ofRequest({ image: { image: 'busybox' }, auth: { password: 'secret' } }), { image: 'busybox' });
  t.deepEqual(describer.ofResponse({ podSandboxId: 'p1' }), {
    ...ofPod,
    podSandboxId: 'p1',
    handler: 'lxc',
    handlerChosenBy: 'routing[0]',
  });
  t.deepEqual(describer.ofResponse({ imageRef: 'sha256:1' }), { imageRef: 'sha256:1' });
});

test('any message is logged without failure or other fields', (t) => {
  fc.assert(
    fc.property(fc.anything(), fc.string({ minLength: 12 }), (config, secret) => {
      const fields = describer.ofRequest({ config, auth: { password: secret }, envs: [secret] });
      describer.ofResponse(config);
      return !JSON.stringify(fields).includes(secret);
    }),
  );
  t.pass();
});
