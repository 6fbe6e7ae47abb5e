import test from 'ava';
import fc from 'fast-check';
import { matchesGlob } from '../../../../src/core/model/glob.ts';
import {
  chooseHandler,
  matchesEveryPod,
  ordinaryHandler,
  reachableHandlers,
  type RoutedPod,
  type RoutingRule,
} from '../../../../src/core/model/routing.ts';

const pod: RoutedPod = {
  metadata: { name: 'web-0', namespace: 'shop', uid: 'u', attempt: 0 },
  labels: { app: 'web', empty: '' },
  annotations: { 'example.com/image': 'registry.example/web:1' },
  namespaces: { network: 'pod', ipc: 'pod', pid: 'container' },
};

/** What chooses among `rules`, each with a handler of its position's name. */
function choose(rules: Partial<RoutingRule>[], changes: Partial<RoutedPod> = {}, asked = ''): string {
  const whole = rules.map((rule, index) => ({ name: '', handler: `h${String(index)}`, ...rule }));
  const { handler, chosenBy } = chooseHandler(asked, { ...pod, ...changes }, { rules: whole, defaultHandler: 'd' });
  return `${handler} by ${chosenBy}`;
}

const NONE = 'd by runtime.default_handler';
const FIRST = 'h0 by routing[0]';

test('a handler that the request names needs no rule', (t) => {
  t.is(choose([{}], {}, 'kata'), 'kata by runtime_handler');
});

test('a pod that meets no condition has the handler of the rule without one, or the default', (t) => {
  const rules: RoutingRule[] = [{ name: '', host_network: true, handler: 'lxc' }];
  t.is(ordinaryHandler({ rules, defaultHandler: 'd' }), 'd');
  t.is(ordinaryHandler({ rules: [...rules, { name: '', handler: 'guests' }], defaultHandler: 'd' }), 'guests');
});

test('the first rule whose conditions all hold chooses', (t) => {
  t.is(choose([]), NONE);
  t.is(choose([{}, {}]), FIRST);
  t.is(
    choose([{ namespaces: ['other'] }, { name: 'web pods', labels: { app: 'web' } }]),
    'h1 by routing[1] (web pods)',
  );
  t.is(choose([{ labels: { app: 'web' }, privileged: true }]), NONE);
  t.is(choose([{ labels: { app: 'web' }, privileged: true }], { privileged: true }), FIRST);
});

test('namespaces are globs, one of which matches', (t) => {
  t.is(choose([{ namespaces: ['kube-*', 'sh*p'] }]), FIRST);
  t.is(choose([{ namespaces: ['kube-*', 'sho'] }]), NONE);
});

test('a pod needs every label and annotation', (t) => {
  t.is(choose([{ labels: { app: 'w*', empty: '*' } }]), FIRST);
  t.is(choose([{ labels: { app: 'web', absent: '*' } }]), NONE);
  t.is(choose([{ labels: { constructor: '*' } }]), NONE);
  t.is(choose([{ annotations: { 'example.com/image': 'registry.example/*' } }]), FIRST);
  t.is(choose([{ annotations: { app: 'web' } }]), NONE);
});

test('host network and privileged may be required or excluded', (t) => {
  const onNode = { namespaces: { ...pod.namespaces, network: 'node' } } as const;
  t.is(choose([{ host_network: true }], onNode), FIRST);
  t.is(choose([{ host_network: true }]), NONE);
  t.is(choose([{ host_network: false }]), FIRST);
  t.is(choose([{ host_network: false }], onNode), NONE);
  t.is(choose([{ privileged: false }]), FIRST);
  t.is(choose([{ privileged: false }], { privileged: true }), NONE);
});

test('a rule without conditions hides the default', (t) => {
  const last = { name: '', handler: 'a' };
  const first = { name: '', handler: 'b', privileged: false };
  t.true(matchesEveryPod(last));
  t.false(matchesEveryPod(first));
  t.deepEqual(reachableHandlers({ rules: [first, last], defaultHandler: 'd' }), ['b', 'a']);
  t.deepEqual(reachableHandlers({ rules: [first, first], defaultHandler: 'b' }), ['b']);
  t.deepEqual(reachableHandlers({ rules: [first], defaultHandler: 'd' }), ['b', 'd']);
});

test('a glob matches as its regular expression does', (t) => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 6 });
  const glob = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '*'), maxLength: 6 });
  fc.assert(
    fc.property(glob, word, (pattern, text) => {
      const expected = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(text);
      return matchesGlob(pattern, text) === expected;
    }),
    { numRuns: 2000 },
  );
  t.false(matchesGlob('*a'.repeat(40) + 'b', 'a'.repeat(1_000_000)), 'in time that is linear in the text');
});
