import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);

test('a bundle replaces only an earlier one', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const own = join(directory, 'letter');
  await writeFile(own, 'dear');
  await t.throwsAsync(run('deploy/bundle', [directory]), { message: /exists and is no bundle; nothing was changed/ });
  t.is(await readFile(own, 'utf8'), 'dear');

  const bundle = join(directory, 'bundle');
  for (const turn of ['made', 'replaced']) {
    await run('deploy/bundle', [bundle]);
    const { stdout } = await run(process.execPath, [join(bundle, 'main.js'), '--version']);
    t.regex(stdout, /\d+\.\d+\.\d+/, turn);
  }
  await access(join(bundle, 'lxcri-native'), constants.X_OK);
});

// What systemd and apt do with it is in `test/long deb`.
(process.arch === 'x64' ? test : test.skip)(
  'the Debian package has a whole program, started by its own Node.js',
  async (t) => {
    t.timeout(900_000);
    const directory = await mkdtemp(join(tmpdir(), 'package-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const { stdout } = await run('deploy/deb/build', ['--fast', '--version', '9.9.9-1', directory]);
    const tree = join(directory, 'tree');
    await run('dpkg-deb', ['--raw-extract', stdout.trim(), tree]);
    const program = join(tree, 'usr/lib/proxmox-lxcri/9.9.9-1');
    const started = await run(join(program, 'node'), [join(program, 'main.js'), 'version']);
    t.regex(started.stdout, /\d+\.\d+\.\d+/);
    const launcher = await readFile(join(tree, 'usr/bin/proxmox-lxcri'), 'utf8');
    t.true(launcher.includes('exec /usr/lib/proxmox-lxcri/9.9.9-1/node '));
    const scripts = (await readdir(program)).filter((name) => name.endsWith('.js'));
    for (const name of scripts) await access(join(program, `${name}.map`));
    await access(join(tree, 'usr/lib/proxmox-lxcri/lxcri-native'), constants.X_OK);
    const crictl = await readFile('deploy/deb/files/crictl.yaml', 'utf8');
    for (const name of ['postinst', 'postrm']) {
      const script = await readFile(join(tree, 'DEBIAN', name), 'utf8');
      t.true(script.includes(crictl), name);
      t.notRegex(script, /@[A-Z]+@/);
      await run('sh', ['-n', join(tree, 'DEBIAN', name)]);
    }
    t.regex(await readFile(join(tree, 'DEBIAN/control'), 'utf8'), /^Depends: libc6 \(>= 2\.\d+\).* lxc-pve \| lxc,/m);
  },
);
