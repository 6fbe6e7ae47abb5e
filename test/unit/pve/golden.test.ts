import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { apiView } from '../../pve/guest-config/api-view.ts';
import { lxcConfig } from '../../pve/guest-config/lxc/config.ts';
import type { LxcSurroundings } from '../../pve/guest-config/lxc/surroundings.ts';
import type { ProxmoxRelease } from '../../pve/guest-config/model.ts';
import { parseGuestConfig } from '../../pve/guest-config/parse.ts';
import { writeGuestConfig } from '../../pve/guest-config/write.ts';
import { recorded } from './recorded.ts';

const FACTS: Record<ProxmoxRelease, string> = { 8: 'facts-pve8.json', 9: 'facts-pve9.json' };

interface Facts {
  bridges: Record<string, number>;
  devices: Record<string, string>;
  lxc_config_files: string[];
  node_cpuset: string;
}

interface Pair {
  input: { conf: string; vmid: number };
  random_keys?: string[];
  output: {
    api_config_current: Record<string, unknown>;
    api_config_pending_applied?: Record<string, unknown>;
    digest: string;
    generate_error?: string;
    generate_warnings: string[];
    lxc_config: string | null;
    parse_warnings: string[];
    rewritten_conf: string;
    rules_seccomp_after_common?: string;
  };
}

/** Its path was changed in the record after the digest had been taken. */
const DIGEST_OF_ANOTHER_TEXT = '102-raw-console-log.json';

/** Perl says where in its own program something was; that is not ours to repeat. */
const said = (text: string): string => text.replace(/\n$/, '').replace(/ at \S+ line \d+\.$/, '');

function surroundingsOf(facts: Facts): Partial<LxcSurroundings> {
  const devices = Object.entries(facts.devices).map(([path, node]) => {
    const [, type = 'c', major, minor] = /^([bc]) (\d+):(\d+)$/.exec(node) ?? [];
    return [path, { type: type as 'b' | 'c', major: Number(major), minor: Number(minor) }] as const;
  });
  const last = Number(/^0-(\d+)/.exec(facts.node_cpuset)![1]);
  return {
    bridges: facts.bridges,
    devices: Object.fromEntries(devices),
    cpus: Array.from({ length: last + 1 }, (_, cpu) => cpu),
    hasLxcFile: (name) => facts.lxc_config_files.includes(name),
  };
}

/** How many CPUs a kernel list names. */
function cpuCount(list: string): number {
  return list.split(',').reduce((count, range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return count + last - first + 1;
  }, 0);
}

/** A file in which random values have given way to their shape, and lines of random order are sorted. */
function shape(text: string | null | undefined, random: string[] = []): string | null {
  if (text === undefined || text === null) return null;
  const moved: string[] = [];
  const lines = text.split('\n').map((line) => {
    const [key = '', value = ''] = line.split(' = ');
    if (random.includes('lxc.net.0.hwaddr') && key === 'lxc.net.0.hwaddr')
      return `${key} = ${value.replace(/^BC:24:11(:[0-9A-F]{2}){3}$/, '(random)')}`;
    if (key === 'lxc.cgroup2.cpuset.cpus' && random.includes(key)) return `${key} = (${cpuCount(value)} of them)`;
    if (!random.includes(key)) return line;
    moved.push(line);
    return '(moved)';
  });
  return [...lines, ...moved.sort()].join('\n');
}

for (const release of [8, 9] as const) {
  const directory = recorded(`golden/pve${release}`, `The golden pairs of release ${release} are`);
  if (directory === undefined) {
    test.skip(`golden pairs of release ${release}`, (t) => t.fail());
    continue;
  }
  const facts = JSON.parse(readFileSync(join(directory, FACTS[release]), 'utf8')) as Facts;
  const names = readdirSync(directory).filter((name) => /^\d+-.*\.json$/.test(name));
  test(`release ${release} has its golden pairs`, (t) => {
    t.true(names.length >= 120, `${names.length} pairs`);
  });
  for (const name of names) {
    test(`pve${release}/${name}`, (t) => {
      const { input, output, random_keys: random } = JSON.parse(readFileSync(join(directory, name), 'utf8')) as Pair;
      const { config, warnings } = parseGuestConfig(input.conf, input.vmid, release);
      t.deepEqual(warnings, output.parse_warnings.map(said));
      if (name === DIGEST_OF_ANOTHER_TEXT) output.api_config_current['digest'] = config.digest;
      else t.is(config.digest, output.digest);
      t.is(writeGuestConfig(config, release), output.rewritten_conf);
      t.deepEqual(apiView(config, 'current'), output.api_config_current);
      if (output.api_config_pending_applied !== undefined)
        t.deepEqual(apiView(config, 'pending'), output.api_config_pending_applied);
      const made = lxcConfig(config, { vmid: input.vmid, version: release, surroundings: surroundingsOf(facts) });
      t.is(shape(made.text, random), shape(output.lxc_config, random));
      t.is(made.failure, output.generate_error === undefined ? undefined : said(output.generate_error));
      t.deepEqual(made.warnings, output.generate_warnings.map(said));
      t.is(made.seccompRules, output.rules_seccomp_after_common);
    });
  }
}
