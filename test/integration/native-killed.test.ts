import { readFile, readdir } from 'node:fs/promises';
import test from 'ava';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import { inventory, leftovers } from './leaks.ts';
import { ServerFixture } from './server-fixture.ts';

const KILLS = 8;

test('a killed native helper fails only repeatable calls', async (t) => {
  const server = await ServerFixture.make(t);
  await server.warm();
  const before = await inventory(server);
  const { client } = server;
  let kills = 0;
  let lives = 0;
  let names = 0;
  /** Repeats a call as the kubelet does. */
  const again = async <T>(what: string, call: () => Promise<T>): Promise<T> => {
    for (let tries = 0; ; tries++) {
      try {
        return await call();
      } catch (error) {
        if (tries === 20) throw new Error(`${what} fails for good`, { cause: error });
      }
    }
  };
  const live = async (name: string, handler: string) => {
    for (; kills < KILLS; lives++) {
      // A new name each time: leftovers of failed calls are removed in the end.
      const pod = await again('RunPodSandbox', () => server.pod(name, {}, handler));
      const id = await again('a container', () => server.sh(pod, `c${String(names++)}`, 'sleep 1000'));
      t.is((await again('ExecSync', () => server.exec(id, 'echo', 'here'))).stdout.toString(), 'here\n');
      await again('StopPodSandbox', () => client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod }));
      await again('RemovePodSandbox', () => client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod }));
    }
  };
  const kill = async () => {
    for (; kills < KILLS; kills++) {
      const seen = lives;
      const pid = await eventually('the helper', () => helperOf(server.pid));
      process.kill(pid, 'SIGKILL');
      await eventually('another life', () => Promise.resolve(lives > seen));
    }
  };
  await Promise.all([kill(), live('a', 'crun'), live('b', 'crun'), live('c', 'lxc')]);
  await server.clear();
  t.deepEqual(await leftovers(server, before), []);
});

/** Pid of a server's native helper. */
async function helperOf(server: number): Promise<number | undefined> {
  for (const thread of await readdir(`/proc/${String(server)}/task`)) {
    const children = await readFile(`/proc/${String(server)}/task/${thread}/children`, 'utf8').catch(() => '');
    for (const pid of children.trim().split(' ').filter(Boolean)) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (command.includes('lxcri-native\0serve')) return Number(pid);
    }
  }
  return undefined;
}
