import test from 'ava';
import { mkdir, mkdtemp, rm, rmdir, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SandboxWatch } from '../../../src/backends/sandbox-watch.ts';
import type { SandboxSpec } from '../../../src/core/model/sandbox-provider.ts';
import { silent } from '../../integration/images-fixture.ts';

test('Only a missing directory ends its sandbox', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'watch-'));
  t.teardown(() => rm(parent, { recursive: true }));
  const watch = new SandboxWatch(silent);
  const ended = new Promise<string>((resolve) => watch.onExit(resolve));
  const follow = (id: string) => {
    const spec = { id, runDir: join(parent, id) } as SandboxSpec;
    watch.follow(spec, { namespaces: {}, cgroup: '/', monitorCgroup: '/' });
  };
  // The lookup of the first one fails, though something is there: ELOOP.
  await symlink('unreadable', join(parent, 'unreadable'));
  await mkdir(join(parent, 'removed'));
  follow('unreadable');
  follow('removed');
  await rmdir(join(parent, 'removed'));
  t.is(await ended, 'removed');
  t.is(watch.status('unreadable').state, 'running');
  watch.forget('unreadable');
});
