import { join } from 'node:path';
import test from 'ava';
import { ApiSchema } from '../../pve/schema/api-schema.ts';
import { unlisted, unseen } from '../../pve/schema/deviations.ts';
import { checkExchanges, type Exchange, summarize } from '../../pve/schema/exchanges.ts';
import { patternOf } from '../../pve/schema/pattern.ts';
import { readTranscripts } from '../../pve/schema/transcripts.ts';
import type { ValueSchema } from '../../pve/schema/types.ts';
import { recorded } from './recorded.ts';

const schemas = recorded('pve-api', 'Checks of the checker against the API schema are');
const transcripts = recorded('pve-transcripts', 'The check of recorded exchanges is');
const withSchema = schemas === undefined ? test.skip : test;
const loaded = new Map<string, ApiSchema>();

function load(release: '8.4' | '9.2'): ApiSchema {
  const schema = loaded.get(release) ?? new ApiSchema(join(schemas!, `pve-${release}.json`));
  loaded.set(release, schema);
  return schema;
}

const CONFIG = '/nodes/pve1/lxc/100/config';

/** What is found in an accepted request, and in its answer. */
function found(method: string, path: string, rest: Partial<Exchange>, release: '8.4' | '9.2' = '9.2'): string[] {
  const exchange = { source: 'planted', method, path, parameters: {}, status: 200, data: null, ...rest };
  return checkExchanges(load(release), [exchange]).map(({ side, place, problem }) => `${side} ${place}: ${problem}`);
}

withSchema('good requests and answers are left alone', (t) => {
  t.deepEqual(found('PUT', CONFIG, { parameters: { memory: '64', net0: 'name=eth0,bridge=vmbr0', onboot: true } }), []);
  t.deepEqual(found('GET', `${CONFIG}?current=1`, { data: { digest: 'x', memory: '64', cpulimit: 1 } }), []);
  t.deepEqual(
    found('GET', '/pools/a/b', { data: { members: [], poolid: 'a/b' } }).filter((one) => !one.includes('poolid')),
    [],
  );
  t.deepEqual(
    found('GET', '/version', { data: { version: '9.2.11', release: '9.2', repoid: '0123456789abcdef' } }),
    [],
  );
});

const ACCEPTED: [title: string, method: string, path: string, parameters: Record<string, unknown>, problem: RegExp][] =
  [
    ['an unknown parameter', 'PUT', CONFIG, { bogus: 1 }, /^request bogus: property is not defined/],
    ['a missing parameter', 'POST', '/nodes/pve1/lxc', { vmid: 100 }, /^request ostemplate: property is missing/],
    ['a number that is none', 'PUT', CONFIG, { memory: 'lots' }, /^request memory: type check \('integer'\)/],
    [
      'a number below its bound',
      'PUT',
      CONFIG,
      { memory: 15 },
      /^request memory: value must have a minimum value of 16/,
    ],
    ['a boolean in words', 'PUT', CONFIG, { onboot: 'yes' }, /^request onboot: type check \('boolean'\)/],
    ['a boolean in place of a number', 'PUT', CONFIG, { memory: true }, /^request memory: type check \('integer'\)/],
    ['a value outside its enumeration', 'PUT', CONFIG, { cmode: 'x' }, /^request cmode: value 'x' does not have/],
    ['a property string with an unknown key', 'PUT', CONFIG, { net0: 'name=a,x=1' }, /^request net0: invalid format/],
    ['a property string without its key', 'PUT', CONFIG, { net3: 'bridge=b' }, /^request net3: invalid format/],
    ['a path that is no node', 'GET', '/nodes/a_b/lxc', {}, /^request node: invalid format - value does not look like/],
    ['a VMID of two digits', 'GET', '/nodes/pve1/lxc/99/config', {}, /^request vmid: (invalid format|value must)/],
    ['a method that there is not', 'GET', '/nodes/pve1/nothing', {}, /^request : the schema has no such method/],
  ];
for (const [title, method, path, parameters, problem] of ACCEPTED)
  withSchema(`finds ${title}`, (t) => {
    const requests = found(method, path, { parameters, data: undefined }).filter((one) => one.startsWith('request'));
    t.is(requests.length, 1, requests.join('\n'));
    t.regex(requests[0]!, problem);
  });

withSchema('finds members that are missing, strange or misshapen', (t) => {
  t.regex(found('GET', '/version', { data: { version: '9' } }).join('\n'), /answer release: property is missing/);
  t.regex(found('GET', CONFIG, { data: { digest: 'x', bogus: 1 } }).join(), /answer bogus: property is not defined/);
  t.regex(
    found('GET', CONFIG, { data: { digest: 'x', memory: 'y' } }).join(),
    /answer memory: type check \('integer'\)/,
  );
  t.regex(found('GET', '/nodes/pve1/lxc', { data: {} }).join(), /answer _root: type check \('array'\)/);
  t.regex(found('GET', '/nodes/pve1/lxc', { data: [{ vmid: 1 }] }).join(), /answer \[\]\.status: property is missing/);
  t.regex(found('PUT', CONFIG, { data: 'OK' }).join(), /answer _root: type check \('null'\)/);
});

withSchema('a refusal names exactly what does not fit', (t) => {
  const refuse = (parameters: Record<string, unknown>, errors: Record<string, string>): string[] =>
    found('PUT', CONFIG, { parameters, status: 400, errors });
  t.deepEqual(refuse({ memory: 'x' }, { memory: "type check ('integer') failed - got 'x'" }), []);
  t.deepEqual(refuse({ features: 'nesting=1' }, { features: 'Only root may use this option.' }), []);
  t.is(refuse({ memory: 'x' }, {}).length, 1);
  t.is(refuse({ memory: 64 }, { memory: "type check ('integer') failed - got '64'" }).length, 1);
  t.is(refuse({ memory: 'x' }, { memory: 'value is wrong' }).length, 1);
});

withSchema('permissions are asked before parameters', (t) => {
  t.deepEqual(found('PUT', CONFIG, { parameters: { bogus: 1 }, status: 403 }), []);
  t.is(found('PUT', CONFIG, { parameters: { bogus: 1 }, status: 500 }).length, 1);
});

withSchema('parameters of release 9 are none of release 8', (t) => {
  t.deepEqual(found('PUT', CONFIG, { parameters: { entrypoint: '/app' } }), []);
  t.is(found('PUT', CONFIG, { parameters: { entrypoint: '/app' } }, '8.4').length, 1);
  t.is(found('GET', '/nodes/pve1/lxc/100/migrate', {}, '8.4')[0], 'request : the schema has no such method');
});

for (const release of ['8.4', '9.2'] as const)
  withSchema(`every pattern of ${release} is understood`, (t) => {
    const seen = (value: ValueSchema | undefined): number => {
      if (typeof value !== 'object') return 0;
      if (value.pattern !== undefined) patternOf(value.pattern);
      const below = [value.items, ...Object.values(value.properties ?? {})];
      if (typeof value.format === 'object') below.push(...Object.values(value.format));
      return below.reduce((count, one) => count + seen(one), value.pattern === undefined ? 0 : 1);
    };
    const counts = load(release).methods.map(({ parameters, returns }) => seen(parameters) + seen(returns));
    t.true(counts.reduce((sum, count) => sum + count) > 100);
  });

(transcripts === undefined || schemas === undefined ? test.skip : test)('the real API keeps to its schema', (t) => {
  const exchanges = readTranscripts(transcripts!);
  t.true(exchanges.length > 650, `${exchanges.length} exchanges`);
  const findings = checkExchanges(load('9.2'), exchanges);
  t.deepEqual(summarize(unlisted(findings)), []);
  t.deepEqual(unseen(findings), []);
});
