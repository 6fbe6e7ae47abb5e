import test from 'ava';
import { resolve } from 'node:path';
import { CrunSandboxProvider } from '../../src/backends/crun/crun-sandbox-provider.ts';
import { processesBelow } from '../lib/processes.ts';
import { behavesAsProvider, endsWhenCancelled } from './sandbox-behaviour.ts';
import { SandboxFixture, crun } from './sandbox-fixture.ts';

behavesAsProvider(test, crun);

test.serial('a sandbox with private PID namespaces has no process', async (t) => {
  const fixture = await SandboxFixture.make(t, crun);
  const placement = await fixture.run(await fixture.spec());
  t.deepEqual(await processesBelow(placement.cgroup), []);
  t.deepEqual(await processesBelow(placement.monitorCgroup), []);
});

test.serial('a missing runtime or init makes the handler unavailable', async (t) => {
  const fixture = await SandboxFixture.make(t, (statePath, logger) => {
    return new CrunSandboxProvider({
      statePath,
      programs: `${statePath}/.programs`,
      logger,
      ociRuntime: '/nonexistent/crun',
    });
  });
  t.regex((await fixture.provider.unavailableBecause()) ?? '', /\/nonexistent\/crun/);
  const other = await SandboxFixture.make(t, (statePath, logger) => {
    return new CrunSandboxProvider({
      statePath,
      programs: `${statePath}/.programs`,
      logger,
      init: '/nonexistent/init',
    });
  });
  t.regex((await other.provider.unavailableBecause()) ?? '', /\/nonexistent\/init.*catatonit/);
});

test.serial('a cancelled start terminates the runtime', async (t) => {
  const program = resolve('test/fixtures/hanging/crun');
  const fixture = await SandboxFixture.make(t, (statePath, logger) => {
    return new CrunSandboxProvider({ statePath, programs: `${statePath}/.programs`, logger, ociRuntime: program });
  });
  await endsWhenCancelled(t, fixture, { pid: 'pod', program });
});
