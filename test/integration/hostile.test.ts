import test from 'ava';
import fc from 'fast-check';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerConfig, PodSandboxConfig } from '../../api/gen/cri.ts';
import { ImageServiceService, RuntimeServiceService } from '../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { sharedOn } from '../lib/handlers.ts';
import { importImage } from './image-fixture.ts';
import { oneServer } from './server-fixture.ts';

const one = oneServer(test);

type Pod = NonNullable<Parameters<typeof PodSandboxConfig.create>[0]>;
type Container = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;

/** Values of an attacker; MARK is a file that must never be created. */
const values = (mark: string): Record<string, string> => ({
  'a line of LXC configuration': `x\nlxc.hook.start-host = /usr/bin/touch ${mark}`,
  'a line of LXC configuration after a carriage return': `x\rlxc.hook.start-host = /usr/bin/touch ${mark}`,
  'a NUL byte': 'x\0y',
  'quotes and a substitution': `'"; touch ${mark}; $(touch ${mark}) \`touch ${mark}\``,
  'an option': '--help',
  'an option with a value': `--config=${mark}`,
  'a comment sign': '# x',
  'a line separator of Unicode': 'x\u2028lxc.init.cmd = y',
  'a path that climbs': '../../../../tmp/x',
  blanks: '  x  ',
  'very long text': 'x'.repeat(70_000),
});

/** Expected result: `passes` through unchanged, or is `refused` with a clear error. */
type Verdict = 'passes' | 'refused' | 'either';

test.serial('hostile pod fields are refused or harmless: both handlers', async (t) => {
  const server = await one(t);
  const mark = join(server.directory, 'mark');
  const fields: Record<string, (value: string) => Pod> = {
    hostname: (hostname) => ({ hostname }),
    "the pod's name": (name) => ({ metadata: { name, namespace: 'n', uid: 'u', attempt: 0 } }),
    'a label': (value) => ({ labels: { [value]: value } }),
    'an annotation': (value) => ({ annotations: { [value]: value } }),
    'a sysctl name': (name) => ({ linux: { sysctls: { [name]: '1' } } }),
    'a sysctl value': (value) => ({ linux: { sysctls: { 'kernel.shm_rmid_forced': value } } }),
    'a DNS search domain': (value) => ({ dnsConfig: { searches: [value] } }),
    'the cgroup parent': (value) => ({ linux: { cgroupParent: value } }),
    'the log directory': (value) => ({ logDirectory: value }),
  };
  const harmless = new Set(['a label', 'an annotation']);
  for (const [field, make] of Object.entries(fields)) {
    for (const [what, value] of Object.entries(values(mark))) {
      for (const handler of harmless.has(field) ? sharedOn('lxc') : (['lxc', 'crun'] as const)) {
        const label = `${field}: ${what} (${handler})`;
        const config = { hostname: 'web', ...make(value) };
        try {
          const id = await server.pod('hostile', config, handler);
          if (harmless.has(field)) {
            const { status } = await server.client.call(RuntimeServiceService.podSandboxStatus, {
              podSandboxId: id,
              verbose: false,
            });
            t.is((field === 'a label' ? status?.labels : status?.annotations)?.[value], value, label);
          }
          await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: id });
        } catch (error) {
          t.true(error instanceof CriError && error.code !== StatusCode.INTERNAL, `${label}: ${String(error)}`);
          t.false(harmless.has(field), `${label}: ${String(error)}`);
        }
        await t.throwsAsync(readFile(mark), { code: 'ENOENT' }, label);
      }
    }
  }
});

test.serial('hostile container fields arrive unchanged or are refused', async (t) => {
  const server = await one(t);
  const mark = join(server.directory, 'mark');
  const pod = await server.pod('hostile');
  let count = 0;
  const cases: [string, Verdict, string, (value: string) => Container][] = [
    [
      'an environment value',
      'passes',
      'printf %s "$V"',
      (value) => ({ envs: [{ key: 'V', value: Buffer.from(value) }] }),
    ],
    ['an argument', 'passes', 'printf %s "$1"', (value) => ({ command: ['sh', '-c', 'printf %s "$1"', 'sh', value] })],
    ['a label', 'either', 'true', (value) => ({ labels: { [value]: value } })],
    ['an annotation', 'either', 'true', (value) => ({ annotations: { [value]: value } })],
    ['an environment name', 'either', 'true', (value) => ({ envs: [{ key: value, value: Buffer.from('x') }] })],
    ['the working directory', 'either', 'true', (value) => ({ workingDir: `/${value}` })],
    [
      'a mount target',
      'either',
      'true',
      (value) => ({ mounts: [{ hostPath: server.directory, containerPath: `/mnt/${value}`, readonly: true }] }),
    ],
    ['the log path', 'either', 'true', (value) => ({ logPath: value })],
    ['the container name', 'either', 'true', (value) => ({ metadata: { name: value, attempt: 0 } })],
    ['an image name', 'refused', 'true', (value) => ({ image: { image: value } })],
    ['a user name', 'refused', 'true', (value) => ({ linux: { securityContext: { runAsUsername: value } } })],
  ];
  for (const [field, verdict, script, make] of cases) {
    for (const [what, value] of Object.entries(values(mark))) {
      const label = `${field}: ${what}`;
      const name = `h${String((count += 1))}`;
      try {
        const id = await server.sh(pod, name, script, make(value));
        const status = await server.exit(id);
        t.not(verdict, 'refused', label);
        if (verdict === 'passes')
          t.is((await server.output('hostile', name)).replace(/\n$/, ''), value.replaceAll('\r', '\r'), label);
        if (verdict === 'passes') t.is(status.exitCode, 0, label);
        await server.client.call(RuntimeServiceService.removeContainer, { containerId: id });
      } catch (error) {
        t.true(error instanceof CriError && error.code !== StatusCode.INTERNAL, `${label}: ${String(error)}`);
        if (verdict === 'passes') t.true(value.includes('\0'), `${label}: ${String(error)}`);
      }
      await t.throwsAsync(readFile(mark), { code: 'ENOENT' }, label);
    }
  }
});

test.serial('random arguments, variables and file names arrive unchanged', async (t) => {
  const server = await one(t);
  const pod = await server.pod('random');
  const directory = join(server.directory, 'source');
  await mkdir(directory);
  await writeFile(join(directory, 'file'), 'content');
  let count = 0;
  const text = fc.string({ unit: 'binary', maxLength: 200 }).map((value) => value.replaceAll('\0', '').toWellFormed());
  await fc.assert(
    fc.asyncProperty(text, text, async (value, argument) => {
      const name = `r${String((count += 1))}`;
      const id = await server.create(pod, name, {
        command: ['sh', '-c', 'printf "%s|%s" "$V" "$1" > /out/result', 'sh', argument],
        envs: [{ key: 'V', value: Buffer.from(value) }],
        mounts: [{ hostPath: directory, containerPath: '/out' }],
      });
      await server.client.call(RuntimeServiceService.startContainer, { containerId: id });
      const { exitCode } = await server.exit(id);
      await server.client.call(RuntimeServiceService.removeContainer, { containerId: id });
      return exitCode === 0 && (await readFile(join(directory, 'result'), 'utf8')) === `${value}|${argument}`;
    }),
    { numRuns: 40 },
  );
  t.is(count, 40);
});

test.serial('labels of any name survive a restart', async (t) => {
  const server = await one(t);
  const { client } = server;
  const named = (name: string, value: string) =>
    JSON.parse(JSON.stringify({ [name]: value })) as Record<string, string>;
  const dictionaries = [
    named('$bigint', '1'),
    named('$bytes', 'aGVsbG8='),
    JSON.parse('{"__proto__":"x"}') as Record<string, string>,
    named('', ''),
  ];
  const seen = async () => {
    const [pods, containers, images] = [
      await client.call(RuntimeServiceService.listPodSandbox, { filter: undefined }),
      await client.call(RuntimeServiceService.listContainers, { filter: undefined }),
      await client.call(ImageServiceService.listImages, { filter: undefined }),
    ];
    const entries = (of: { labels: object; annotations: object }) =>
      JSON.stringify([Object.entries(of.labels), Object.entries(of.annotations)]);
    return {
      pods: pods.items.map(entries).sort(),
      containers: containers.containers.map(entries).sort(),
      images: images.images.map(({ id }) => id).sort(),
    };
  };
  const images = (await seen()).images.length;
  for (const [index, dictionary] of dictionaries.entries()) {
    const both = { labels: dictionary, annotations: dictionary };
    await server.create(await server.pod(`labels-${String(index)}`, both), 'c', { command: ['true'], ...both });
    await importImage(
      server,
      `localhost/labels:${String(index)}`,
      { file: String(index) },
      {
        config: { Labels: dictionary },
        busybox: false,
      },
    );
  }
  const before = await seen();
  for (const dictionary of dictionaries) {
    const entries = JSON.stringify([Object.entries(dictionary), Object.entries(dictionary)]);
    t.true(before.pods.includes(entries) && before.containers.includes(entries), entries);
  }
  t.is(before.images.length, images + dictionaries.length);
  await server.end('SIGTERM');
  await server.start();
  t.deepEqual(await seen(), before);
});
