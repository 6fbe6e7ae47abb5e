import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { defaultProfile, defaultProfileName } from '../../../../src/integrations/apparmor/default-profile.ts';
import { KernelAppArmor } from '../../../../src/integrations/apparmor/kernel-apparmor.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { writeScript } from '../../../lib/script.ts';

/** The kernel's files and the parser, as files in a directory of the test. */
async function machine(t: ExecutionContext, enabled: string | undefined, parser?: string) {
  const directory = await mkdtemp(join(tmpdir(), 'apparmor-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const [switchFile, profilesFile] = [join(directory, 'enabled'), join(directory, 'profiles')];
  if (enabled !== undefined) await writeFile(switchFile, enabled);
  if (parser !== undefined) await writeScript(join(directory, 'parser'), parser, 0o700);
  const warnings: string[] = [];
  const note = (message: string) => void warnings.push(message);
  const logger: Logger = { debug: note, info: note, warn: note, error: note, with: () => logger };
  const apparmor = new KernelAppArmor({ switchFile, profilesFile, parser: join(directory, 'parser'), logger });
  return { apparmor, directory, profilesFile, warnings };
}

test('the default profile compiles', async (t) => {
  // Nothing is loaded, so this works on a kernel without AppArmor.
  const compile = (input: string) => run('apparmor_parser', ['--skip-kernel-load', '--skip-cache'], { input });
  await t.notThrowsAsync(compile(defaultProfile));
  await t.throwsAsync(
    compile(defaultProfile.replace('deny mount,', 'deny mountt,')),
    undefined,
    'it looks at the rules',
  );
  const { stdout } = await run('apparmor_parser', ['--skip-kernel-load', '--skip-cache', '--names'], {
    input: defaultProfile,
  });
  t.is(stdout.trim(), defaultProfileName);
});

test('AppArmor is enabled where the kernel says Y', async (t) => {
  t.true(await (await machine(t, 'Y\n')).apparmor.enabled());
  t.false(await (await machine(t, 'N\n')).apparmor.enabled());
  t.false(await (await machine(t, undefined)).apparmor.enabled());
});

test('the default profile is loaded once, failures are retried', async (t) => {
  const { apparmor, directory } = await machine(t, 'Y', 'd=${0%/*}; echo "$*" >>"$d/calls"; cat >"$d/profile"');
  t.deepEqual(await Promise.all([apparmor.defaultProfile(), apparmor.defaultProfile()]), [
    defaultProfileName,
    defaultProfileName,
  ]);
  t.is(await readFile(join(directory, 'calls'), 'utf8'), '--replace --skip-cache\n');
  t.is(await readFile(join(directory, 'profile'), 'utf8'), defaultProfile);

  const broken = await machine(t, 'Y', 'echo "no access" >&2; exit 1');
  await t.throwsAsync(broken.apparmor.defaultProfile(), { message: /cannot load .*proxmox-lxcri-default.*no access/ });
  await writeFile(join(broken.directory, 'parser'), '#!/bin/sh\n', { mode: 0o700 });
  t.is(await broken.apparmor.defaultProfile(), defaultProfileName);
});

test('without a parser there is one warning, no profile', async (t) => {
  const { apparmor, warnings } = await machine(t, 'Y');
  t.is(await apparmor.defaultProfile(), undefined);
  t.is(await apparmor.defaultProfile(), undefined);
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /install the Debian package apparmor/);
});

test('profiles are found by full name in any mode', async (t) => {
  const { apparmor, profilesFile } = await machine(t, 'Y');
  await t.throwsAsync(apparmor.isLoaded('a'), { message: /is securityfs mounted/ });
  await writeFile(profilesFile, 'one (enforce)\ntwo words (complain)\n/usr/bin/x//sub (unconfined)\n');
  for (const name of ['one', 'two words', '/usr/bin/x//sub']) t.true(await apparmor.isLoaded(name), name);
  for (const name of ['', 'on', 'one (enforce)', 'words', '/usr/bin/x', 'three'])
    t.false(await apparmor.isLoaded(name), name);
});
