import test from 'ava';
import { readFile } from 'node:fs/promises';
import { inventory, leftovers } from './leaks.ts';
import { irrelevant } from './sandbox-behaviour.ts';
import { SandboxFixture, crun, lxc } from './sandbox-fixture.ts';

for (const [handler, make] of Object.entries({ lxc, crun })) {
  test.serial(`a host-network container cannot control a monitor: ${handler}`, async (t) => {
    const fixture = await SandboxFixture.make(t, make);
    const victim = await fixture.spec();
    const before = await fixture.run(victim);
    const attacker = await fixture.run(await fixture.spec({ network: 'node', hostname: '' }));
    // LXC_CMD_STOP, LXC_CMD_GET_CGROUP2_FD and LXC_CMD_GET_CGROUP_CTX; the last two would give access to the node's
    // files.
    t.notRegex(await fixture.attack(attacker, 'monitors 17 23 2', []), /descriptor/);
    t.notRegex(await fixture.attack(attacker, 'as 65534 monitors 17 23 2'), /descriptor/);
    t.regex(await fixture.attack(attacker, 'as 65534 flood 20000'), /abstract sockets/);
    t.deepEqual(await fixture.placement(victim), before, 'the pod lives');
    t.deepEqual(fixture.exits, []);
    const sockets = await readFile('/proc/net/unix', 'utf8');
    t.false(sockets.includes(`${fixture.directory}/state`), "liblxc's socket is not in the node's network namespace");
  });
}

test.serial("the attacker succeeds in a monitor's own network namespace", async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  const spec = await fixture.spec();
  const placement = await fixture.run(spec);
  const { lxcNetworkNamespace } = await fixture.provider.describe({ spec });
  const inside = { ...placement, namespaces: { network: String(lxcNetworkNamespace) } };
  t.regex(await fixture.attack(inside, 'monitors 17 23', []), /descriptor from @/);
});

test.serial('network namespaces of monitors are removed with them', async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  await fixture.provider.unavailableBecause();
  const before = await inventory(fixture);
  const specs = await Promise.all([fixture.spec(), fixture.spec({ network: 'node', hostname: '' })]);
  for (const spec of specs) await fixture.run(spec);
  for (const spec of specs) await fixture.provider.remove({ spec });
  t.deepEqual(await leftovers(fixture, before, irrelevant), []);
});
