import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { completionScript } from '../../../src/cli/completion/index.ts';
import { allCommands } from '../../../src/cli/completion/outline.ts';
import { cliManual } from '../../../src/cli/manual.ts';
import { cliMarkdown } from '../../../src/cli/reference.ts';
import { COMMANDS } from '../../../src/cli/registry.ts';
import { handlers } from '../../../src/backends/registry.ts';
import { chartSchema } from '../../../src/core/config/chart-schema.ts';
import { declareHandlers } from '../../../src/core/config/handlers.ts';
import { configurationManual } from '../../../src/core/config/manual.ts';
import { configOutline } from '../../../src/core/config/outline.ts';
import { packageRelations } from '../../../src/core/config/package-relations.ts';
import { programs } from '../../../src/core/config/programs.ts';
import { declareVmidRanges } from '../../../src/core/config/vmid-ranges.ts';
import { vmidRanges } from '../../../src/backends/proxmox/guests/vmid-ranges.ts';
import { configurationMarkdown } from '../../../src/core/config/reference.ts';
import { metricsMarkdown } from '../../../src/core/metrics/reference.ts';
import { configSchema } from '../../../src/core/config/schema.ts';
import { STATE, stateParts } from '../../../src/core/state-layout.ts';
import { cli } from './harness.ts';
import { writeScript } from '../../lib/script.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
async function directory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cli-test-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

const page = (name: string) => readFile(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');

declareHandlers(handlers);
declareVmidRanges(vmidRanges);

test('Generated pages are current', async (t) => {
  t.is(await page('cli.md'), cliMarkdown());
  t.is(await page('configuration.md'), configurationMarkdown());
  t.is(await page('metrics-reference.md'), metricsMarkdown());
});

test('the chart knows the handlers of the registry', async (t) => {
  const file = (name: string) => readFile(new URL(`../../../charts/proxmox-lxcri/${name}`, import.meta.url), 'utf8');
  const names = handlers.map(({ name }) => name);
  const schema = await file('values.schema.json');
  t.is(schema, chartSchema(schema, names), 'values.schema.json: npm run docs');
  t.deepEqual(
    [...(await file('values.yaml')).matchAll(/^ +handler: (.*)$/gm)].map((match) => match[1]),
    names,
  );
  const planted = chartSchema(schema, [...names, 'new']);
  t.regex(planted, new RegExp(`"enum": \\[${[...names, 'new'].map((name) => `"${name}"`).join(', ')}\\]`));
  t.throws(() => chartSchema('{}', names), { message: /no handlers/ });
});

test('state directories do not overlap', (t) => {
  const names = [...Object.values(STATE), ...handlers.map(({ stateDirectory }) => stateDirectory)];
  t.deepEqual(names, [...new Set(names)]);
  const wiped = stateParts(handlers.map(({ stateDirectory }) => stateDirectory)).map(({ path }) => path);
  for (const name of names) t.true(wiped.includes(name), name);
});

test('Help, completion and pages list every command and option', async (t) => {
  const markdown = cliMarkdown();
  for (const { path, command } of allCommands(COMMANDS)) {
    const help = await cli(['help', ...path]);
    t.is(help.code, 0);
    t.deepEqual(await cli([...path, '--help']), help);
    t.regex(markdown, new RegExp(`^#+ ${path.join(' ')}$`, 'm'));
    for (const option of command.options ?? []) {
      t.true(help.stdout.includes(`--${option.name}`), `${path.join(' ')} --${option.name}`);
      for (const shell of SHELLS) {
        t.regex(completionScript(shell, COMMANDS), new RegExp(`(--| -l )${option.name}\\b`), `${shell} ${option.name}`);
      }
    }
    for (const name of path) for (const shell of SHELLS) t.true(completionScript(shell, COMMANDS).includes(name));
  }
  const names = allCommands(COMMANDS).map(({ path }) => path.join(' '));
  t.is(new Set(names).size, names.length);
});

test('Options of a command have unique names and letters', (t) => {
  for (const { path, command } of allCommands(COMMANDS)) {
    const flags = (command.options ?? []).flatMap(({ name, short }) => (short === undefined ? [name] : [name, short]));
    t.is(new Set([...flags, 'h', 'help']).size, flags.length + 2, path.join(' '));
  }
});

for (const shell of SHELLS) {
  const present = spawnSync(shell, ['--version']).status === 0;
  const title = `The completion script is right for ${shell}${present ? '' : ' (not installed here)'}`;
  (present ? test : test.skip)(title, async (t) => {
    const script = join(await directory(t), 'script');
    await writeFile(script, completionScript(shell, COMMANDS));
    t.is(execFileSync(shell, ['-n', script], { encoding: 'utf8' }), '');
  });
}

test('bash completes commands, options, choices and objects', async (t) => {
  const bin = await directory(t);
  const script = join(bin, 'completion.bash');
  await writeFile(script, completionScript('bash', COMMANDS));
  // Prints which server it was asked for, where one was named.
  const answers = [
    '"ps --all --names") echo web; echo web-2;;',
    '"pods --names") echo web-pod;;',
    '"ps --all --names --address /x.sock") echo other;;',
    '"pods --names --config=/y.toml") echo third;;',
    '"images --names") echo docker.io/a:1; echo docker.io/a:2;;',
  ];
  await writeScript(join(bin, 'proxmox-lxcri'), `case "$*" in ${answers.join(' ')} esac`);
  const complete = (line: string) => {
    const program = '. "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _proxmox_lxcri; printf "%s\\n" "${COMPREPLY[@]}"';
    const env = { ...process.env, PATH: `${bin}:${String(process.env['PATH'])}` };
    const out = execFileSync('bash', ['-c', program, 'bash', script, line], { env, encoding: 'utf8' });
    return out.split('\n').filter(Boolean);
  };
  t.deepEqual(complete('proxmox-lxcri pu'), ['pull']);
  t.deepEqual(complete('proxmox-lxcri config '), ['default', 'check', 'dump']);
  t.deepEqual(complete('proxmox-lxcri config dump --roo'), ['--root']);
  t.deepEqual(complete('proxmox-lxcri run --pull '), ['always', 'missing', 'never']);
  t.deepEqual(complete('proxmox-lxcri completion f'), ['fish']);
  t.deepEqual(complete('proxmox-lxcri exec we'), ['web', 'web-2']);
  t.deepEqual(complete('proxmox-lxcri stop we'), ['web', 'web-2', 'web-pod']);
  t.deepEqual(complete('proxmox-lxcri --address /x.sock exec '), ['other']);
  t.deepEqual(complete('proxmox-lxcri stop --address /x.sock '), ['other']);
  t.deepEqual(complete('proxmox-lxcri port-forward --config=/y.toml '), ['third']);
  t.deepEqual(complete('proxmox-lxcri --ad'), ['--address']);
  t.deepEqual(complete('proxmox-lxcri serve --log-level '), ['debug', 'info', 'warn', 'error']);
  t.deepEqual(complete('proxmox-lxcri run --handler '), ['lxc', 'crun', 'proxmox-lxc']);
  t.deepEqual(complete('proxmox-lxcri rmi docker.io/a:'), ['1', '2']);
  t.deepEqual(complete('proxmox-lxcri run --memory '), []);
  t.deepEqual(complete('proxmox-lxcri help pul'), ['pull']);
  t.deepEqual(complete(`proxmox-lxcri import ${bin}/compl`), [`${bin}/completion.bash`]);
});

test('a usage error prints one line, exit code 2', async (t) => {
  const wrong: [string[], RegExp][] = [
    [['nope'], /unknown command 'nope'/],
    [['confg'], /Did you mean config\?/],
    [['ps', '--frob'], /unknown option '--frob'/],
    [['run'], /missing required argument 'IMAGE'/],
    [['ps', '-o', 'yaml'], /Allowed choices are table, json/],
    [['ps', 'extra'], /too many arguments/],
    [['ps', '--address', 'localhost:80'], /must be unix:\/\//],
    [['--address', 'localhost:80', 'ps'], /must be unix:\/\//],
    [['--nope', 'ps'], /unknown option '--nope'/],
    [['--address'], /unknown option '--address'/],
    [['help', 'nope'], /unknown command "nope"/],
    [['run', '--timeout', 'x', 'image'], /--timeout: must be an integer from 1 to/],
    [['run', '--address', 'unix:///nowhere.sock', '--memory', '10Q', 'image'], /--memory: must be a size such as/],
    [['run', '--address', 'unix:///nowhere.sock', '-v', 'a:b', 'image'], /--mount: must be SOURCE:\/DESTINATION/],
    [['run', '--address', 'unix:///nowhere.sock', '-e', '=x', 'image'], /--env: must be KEY=VALUE/],
  ];
  for (const [argv, expected] of wrong) {
    const { code, stdout, stderr } = await cli(argv);
    t.is(code, argv[0] === 'run' ? 125 : 2, argv.join(' '));
    t.is(stdout, '');
    t.regex(stderr, expected);
    t.regex(stderr.split('\n')[0] ?? '', /^proxmox-lxcri: /);
  }
});

test('Without arguments help is printed; incomplete commands fail', async (t) => {
  t.regex((await cli([])).stdout, /^Usage: proxmox-lxcri/);
  t.is((await cli([])).code, 0);
  const config = await cli(['config']);
  t.is(config.code, 2);
  t.regex(config.stderr, /config default|default {2}/);
});

test('version prints the versions in use', async (t) => {
  t.regex((await cli(['version'])).stdout, /^proxmox-lxcri \d+\.\d+\.\d+.*, Node\.js 24\.[\d.]+\n$/);
  const json = JSON.parse((await cli(['version', '--json'])).stdout) as Record<string, unknown>;
  t.is(json['node'], process.versions.node);
  t.regex((await cli(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
});

test('config prints, checks and dumps; serve can reload it', async (t) => {
  const file = join(await directory(t), 'config.toml');
  await writeFile(file, (await cli(['config', 'default'])).stdout);
  t.is((await cli(['config', 'check', '--config', file])).stdout, `The configuration is valid (${file})\n`);
  const dump = await cli(['config', 'dump', '--config', file, '--root', '/elsewhere']);
  t.regex(dump.stdout, /^root = "\/elsewhere"$/m);

  let reloaded: unknown;
  const serve = await cli(['serve', '--config', file, '--log-level', 'warn'], {
    serve: async ({ config, files, reload }) => {
      t.deepEqual(files, [file]);
      t.is(config.log.level, 'warn');
      await writeFile(file, 'root = "/changed"\n');
      reloaded = await reload();
      await writeFile(file, 'root = 1\nlog.level = "loud"\n');
      await t.throwsAsync(reload());
    },
  });
  t.deepEqual(serve, { code: 0, stdout: '', stderr: '' });
  t.deepEqual(reloaded, configSchema().parse({ root: '/changed', log: { level: 'warn' } }));

  await writeFile(file, '[gprc]\n[log]\nlevle = "info"\n');
  const slips = (await cli(['--config', file, 'config', 'check'])).stderr;
  t.regex(slips, /did you mean "grpc"/);
  t.regex(slips, /did you mean "level"/);
  for (const port of ['99999', '65536']) {
    const ports = await cli(['config', 'check', '--metrics-listen', `0.0.0.0:${port}`]);
    t.is(ports.code, 1);
    t.regex(ports.stderr, /metrics\.listen: must have a port of at most 65535/);
  }
  await writeFile(file, 'root = 1\nlog.level = "loud"\n');
  const broken = await cli(['config', 'check', '--config', file]);
  t.is(broken.code, 1);
  t.deepEqual(broken.stderr.match(/^proxmox-lxcri: .*config\.toml:\d: /gm)?.length, 2);
});

test('wipe of nothing succeeds', async (t) => {
  const nowhere = join(await directory(t), 'none');
  const { code, stdout, stderr } = await cli(['wipe', '--root', `${nowhere}/root`, '--state', `${nowhere}/state`]);
  t.deepEqual([code, stderr], [0, '']);
  t.regex(stdout, /^Nothing to remove/);
});

test('An error of serve hides credentials and control characters', async (t) => {
  const { code, stderr } = await cli(['serve'], {
    serve: () => Promise.reject(new Error('cannot reach https://me:hunter2@host/\u001b[31m')),
  });
  t.is(code, 1);
  t.is(stderr, 'proxmox-lxcri: cannot reach https://[redacted]@host/\\e[31m\n');
});

test('A write error fails; a closed pipe does not', (t) => {
  const command = `"${process.execPath}" src/main.ts config default`;
  const full = spawnSync('sh', ['-c', `exec ${command} > /dev/full`], { encoding: 'utf8' });
  t.is(full.status, 1);
  t.regex(full.stderr, /^proxmox-lxcri: .*ENOSPC/);
  const left = spawnSync('bash', ['-c', `${command} | true; echo "\${PIPESTATUS[0]}"`], { encoding: 'utf8' });
  t.deepEqual([left.stdout, left.stderr], ['0\n', '']);
});

test('the Debian package brings every program, and a manual of every command and key', (t) => {
  const relations = packageRelations();
  t.regex(relations, /^Depends: .*\blxc-pve \| lxc\b.*\nRecommends: .*\n$/, "Proxmox's own LXC is not replaced");
  const always = ['coreutils', 'dash', 'findutils', 'systemd', 'tar', 'util-linux'];
  for (const { package: name } of programs(configSchema().parse({}), false))
    t.true(always.includes(name) || relations.includes(` ${name}`), name);

  const about = { date: '2026-01-02', version: '1.2.3' };
  const pages = [cliManual(about), configurationManual(about)];
  const [ofCommands = '', ofKeys = ''] = pages.map((text) => text.replaceAll('\\-', '-'));
  for (const { path } of allCommands(COMMANDS)) t.regex(ofCommands, new RegExp(`^\\.SS ${path.join(' ')}( |$)`, 'm'));
  for (const { name } of configOutline().flatMap(({ keys }) => keys))
    t.true(ofKeys.includes(`\n\\fB${name}\\fR\n`), name);
  // A line of text that begins with a dot or an apostrophe would be lost (roff(7)).
  for (const line of pages.join('').split('\n')) t.regex(line, /^(\.(TH|SH|SS|TP|PP|EX|EE)( |$)|[^.']|$)/);
});
