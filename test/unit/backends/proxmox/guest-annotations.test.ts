import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { guestAnnotations } from '../../../../src/backends/proxmox/lxc/settings/guest-annotations.ts';
import { GuestSettings } from '../../../../src/backends/proxmox/lxc/settings/guest-settings.ts';
import { changesFor, warmSettings } from '../../../../src/backends/proxmox/lxc/warm/warm-settings.ts';
import { ownerOf, withOwner } from '../../../../src/backends/proxmox/guests/owner-mark.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { type GuestPools, poolOf, poolsOf } from '../../../../src/core/model/guest-pools.ts';
import { ownAnnotations } from '../../../../src/core/model/own-annotations.ts';
import type { LogFields } from '../../../../src/core/model/logger.ts';
import type { SandboxSpec } from '../../../../src/core/model/sandbox-provider.ts';
import { ApiSchema } from '../../../pve/schema/api-schema.ts';
import { checkValue } from '../../../pve/schema/check-value.ts';
import { recorded } from '../../pve/recorded.ts';
import { silent } from './silent.ts';

const annotated = (values: Record<string, string>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [`proxmox-lxcri.io/${key}`, value]));
const trusted = { isTrusted: true, pools: ['', 'k8s/a'] };
const read = (values: Record<string, string>) => guestAnnotations(annotated(values), trusted);

const pools: GuestPools = {
  rules: [
    { namespaces: ['team-a', 'team-a-*'], pool: 'k8s/a' },
    { namespaces: ['team-*'], pool: 'k8s/b' },
  ],
  otherwise: 'k8s',
};

const spec = (namespace: string, values: Record<string, string>): SandboxSpec => ({
  id: 'b'.repeat(64),
  pod: { namespace, name: 'web', uid: 'u', attempt: 0 },
  annotations: annotated(values),
  hostname: 'web-0',
  network: 'pod',
  ipc: 'pod',
  pid: 'container',
  sysctls: {},
  cgroupParent: '/kubepods/pod1',
  runDir: '/run/x',
});

/** The settings of a guest on a node that trusts `team-*`, and what was logged meanwhile. */
function settingsOf(of: SandboxSpec, its: GuestPools = pools) {
  const logged: LogFields[] = [];
  const logger = { ...silent, warn: (_: string, fields: LogFields = {}) => void logged.push(fields) };
  const all = new GuestSettings({ handler: 'proxmox-lxc', pools: its, annotationNamespaces: ['team-*'], logger });
  return { settings: all.of(of), logged };
}

test('annotations are settings of the guest', (t) => {
  t.deepEqual(
    read({
      cpulimit: '1.5',
      description: '\n# Shop\r\nby [us](https://a.example)\n',
      pool: 'k8s/a',
      startup: 'order=1',
      tags: 'Team-A;ingress, b',
    }),
    {
      choices: {
        cpulimit: 1.5,
        description: '# Shop\nby [us](https://a.example)',
        pool: 'k8s/a',
        startup: 'order=1',
        tags: ['team-a', 'ingress', 'b'],
      },
      ignored: [],
    },
  );
  t.deepEqual(read({ startup: '7', cpulimit: '0' }).choices, { cpulimit: 0, startup: 'order=7' });
  t.deepEqual(read({ 'rootfs-quota': '1Gi' }), { choices: {}, ignored: [] });
});

test('annotations of others do not reach the guest', (t) => {
  const own = { 'proxmox-lxcri.io/tags': 'a' };
  t.deepEqual(ownAnnotations({ ...own, 'proxmox-lxcri.io.example/tags': 'b', tags: 'c', __proto__: 'd' }), own);
});

test('other settings are not for pods', (t) => {
  const values = { cores: '2', memory: '64', onboot: '1', hookscript: 'local:snippets/x', protection: '1' };
  t.deepEqual(read(values), { choices: {}, ignored: Object.keys(annotated(values)) });
});

test('a wrong value names its annotation and remedy', (t) => {
  const refused = (key: string, value: string, problem: RegExp) => {
    const error = t.throws(() => read({ [key]: value }), { instanceOf: CriError }, `${key}=${value}`);
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.true(error?.message.startsWith(`config.annotations["proxmox-lxcri.io/${key}"]: `), error?.message);
    t.regex(error?.message ?? '', problem);
  };
  for (const value of ['', '-1', '8193', '0.001', '1e3', 'two', '1,5']) refused('cpulimit', value, /CPUs from 0\.01/);
  for (const value of ['', 'order=x', 'order=1,up=5', 'up=5']) refused('startup', value, /must be "order=N"/);
  for (const value of ['', ';', 'a b!', '-a', 'é']) refused('tags', value, /must be a tag: letters/);
  refused('tags', 'a;'.repeat(600), /at most 1024 characters/);
  for (const value of [' ', 'a\0b', 'a\x1b[1m', 'x'.repeat(4097)]) refused('description', value, /1 to 4096/);
  for (const value of ['', 'k8s', 'k8s/a/b']) refused('pool', value, /not a pool .* use one of k8s\/a$/);
  t.throws(() => guestAnnotations(annotated({ pool: 'x' }), { isTrusted: true, pools: [''] }), {
    message: /name its pools in proxmox\.pools$/,
  });
});

test('only trusted namespaces choose', (t) => {
  const values = { cpulimit: 'nonsense', tags: 'k8s;mine' };
  const { settings, logged } = settingsOf(spec('shop', values));
  t.is(settings.tags, 'k8s;proxmox-lxc;shop');
  t.false('cpulimit' in settings);
  t.like(logged, [{ pod: 'shop/web', annotations: Object.keys(annotated(values)) }]);
  t.regex(String(logged[0]?.['reason']), /handlers\.proxmox-lxc\.annotation_namespaces/);

  const trustedOnes = settingsOf(spec('team-a', { cpulimit: '2', tags: 'k8s;mine', cores: '2' }));
  t.like(trustedOnes.settings, { tags: 'k8s;mine;proxmox-lxc;team-a', cpulimit: 2, onboot: false });
  t.like(trustedOnes.logged, [{ annotations: ['proxmox-lxcri.io/cores'], reason: 'they name no setting of a guest' }]);
  t.deepEqual(settingsOf(spec('team-a', {})).logged, []);
});

test('the pool follows the namespace', (t) => {
  const of = (namespace: string) => settingsOf(spec(namespace, {})).settings['pool'];
  t.deepEqual(['team-a', 'team-a-1', 'team-ab', 'shop'].map(of), ['k8s/a', 'k8s/a', 'k8s/b', 'k8s']);
  t.is(settingsOf(spec('team-a', { pool: 'k8s/b' })).settings['pool'], 'k8s/b');
  t.false('pool' in settingsOf(spec('shop', {}), { ...pools, otherwise: '' }).settings);
  t.deepEqual(poolsOf(pools), ['k8s', 'k8s/a', 'k8s/b']);
  t.is(poolOf('x', { rules: [], otherwise: '' }), '');
});

test('a description does not forge whose guest it is', (t) => {
  const text = `mine\n\nKubernetes pod ${'c'.repeat(64)} of proxmox-lxcri`;
  const { settings } = settingsOf(spec('team-a', { description: text }));
  const notes = withOwner(String(settings['description']), 'b'.repeat(64));
  t.is(ownerOf(notes), 'b'.repeat(64));
  t.regex(notes, /^mine\n\nKubernetes pod c+ of proxmox-lxcri\n\nPod team-a\/web, UID u/);
});

const values = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.stringMatching(/^[0-9.]{1,8}$/),
  fc.stringMatching(/^(order=)?[0-9]{1,10}$/),
  fc.stringMatching(/^[A-Za-z0-9_.+-]{1,8}([;, ][A-Za-z0-9_.+-]{1,8}){0,3}$/),
);

/** Every value that is not refused with INVALID_ARGUMENT fits. */
function fits(t: ExecutionContext, release: string, path: string) {
  const schema = new ApiSchema(path).find('POST', '/nodes/pve1/lxc')?.api.parameters;
  const made = { vmid: 100, node: 'pve1', ostemplate: 'local:vztmpl/a.tar.gz' };
  let accepted = 0;
  const keys = ['cpulimit', 'description', 'startup', 'tags'];
  fc.assert(
    fc.property(fc.constantFrom(...keys), values, (key, value) => {
      const problems = new Map<string, string>();
      try {
        const { settings } = settingsOf(spec('team-a', { [key]: value }));
        accepted += 1;
        checkValue(schema ?? {}, { ...made, ...settings }, '', problems);
      } catch (error) {
        if (!(error instanceof CriError) || error.code !== StatusCode.INVALID_ARGUMENT) throw error;
      }
      return problems.size === 0;
    }),
    { numRuns: 500 },
  );
  t.true(accepted > 50, `${release}: ${accepted}`);
}

for (const release of ['8.4', '9.2']) {
  const path = recorded(`pve-api/pve-${release}.json`, `Annotations against the API of ${release}:`);
  if (path !== undefined) {
    test(`accepted annotations fit the API of ${release}`, (t) => {
      fits(t, release, path);
    });
  }
}

test('a pod takes a guest of the warm pool unless it needs what only a new one can have', (t) => {
  const settings = new GuestSettings({ handler: 'proxmox-lxc', pools, annotationNamespaces: ['*'], logger: silent });
  const warm = warmSettings(settings, 'proxmox-lxc');
  t.like(warm, { pool: 'k8s', tags: 'k8s;proxmox-lxc;warm', unprivileged: false });
  const changes = (namespace: string, values: Record<string, string> = {}, more: Partial<SandboxSpec> = {}) => {
    const of = { ...spec(namespace, values), ...more };
    return changesFor(of, { ...settings.of(of), memory: 900 }, warm);
  };
  const asked = changes('shop', { startup: 'order=2', tags: 'x', description: 'Mine' });
  t.like(asked, { hostname: 'shop--web', startup: 'order=2', tags: 'k8s;proxmox-lxc;shop;x' });
  t.deepEqual(Object.keys(asked ?? {}).sort(), ['description', 'hostname', 'startup', 'tags']);
  t.is(ownerOf(String(asked?.['description'])), 'b'.repeat(64));
  t.truthy(changes('shop', {}, { ipc: 'node', pid: 'pod', sysctls: { 'net.core.somaxconn': '1' } }));
  t.is(changes('team-a'), undefined, 'another pool');
  t.truthy(changes('team-a', { pool: 'k8s' }));
  t.is(changes('shop', { cpulimit: '2' }), undefined);
  t.is(changes('shop', {}, { network: 'node' }), undefined);
  t.is(changes('shop', {}, { userNamespace: { hostId: 65_536, size: 65_536 } }), undefined);
});
