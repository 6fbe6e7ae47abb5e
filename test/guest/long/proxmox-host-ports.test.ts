// A guest of its own: `test/long proxmox-networks`.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Faults, FAULTY_PROGRAM } from '../../integration/walk-faults.ts';
import { GuestPods, HANDLER } from '../proxmox-pods.ts';
import { output } from '../pve-pool.ts';

/** A virtual network of the SDN, which is a Linux bridge on the node; the gateway of its pods is another machine. */
const NETWORK = `
[[proxmox.networks]]
bridge = "zone1/v1"
subnets = ["10.77.5.0/24", "fd77:5::/64"]
gateways = ["10.77.5.254", "fd77:5::fe"]
addresses = { pve1 = ["10.77.5.10-10.77.5.20", "fd77:5::10-fd77:5::20"] }
node_addresses = { pve1 = ["10.77.5.1", "fd77:5::1"] }
`;
const MODE = '[handlers.proxmox-lxc]\nnetwork = "proxmox"\n';
const CLIENT = ['netns', 'exec', 'outside'];
/** Answers with the address that a request comes from. */
const WEB = `mkdir -p /tmp/w/cgi-bin; cat >/tmp/w/cgi-bin/peer <<'END'
#!/bin/sh
echo Content-Type: text/plain; echo; echo "$REMOTE_ADDR"
END
chmod +x /tmp/w/cgi-bin/peer; httpd -p 80 -h /tmp/w; echo ready; exec sleep 1000000`;
const portMappings = [{ hostPort: 8080, containerPort: 80 }];

/** The bridge, this machine with an address in it, and a client that knows this machine alone. */
async function makeNetworks(t: ExecutionContext): Promise<void> {
  const ip = (...args: string[]) => output('ip', ...args);
  await ip('link', 'add', 'v1', 'up', 'type', 'bridge');
  t.teardown(() => ip('link', 'del', 'v1'));
  await ip('address', 'add', '10.77.5.1/24', 'dev', 'v1');
  await ip('address', 'add', 'fd77:5::1/64', 'dev', 'v1', 'nodad');
  await ip('netns', 'add', 'outside');
  t.teardown(() => ip('netns', 'del', 'outside'));
  await ip('link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'outside');
  await ip('address', 'add', '192.0.2.1/24', 'dev', 'uplink');
  await ip('address', 'add', '2001:db8::1/64', 'dev', 'uplink', 'nodad');
  await ip('link', 'set', 'uplink', 'up');
  for (const address of [['192.0.2.2/24'], ['2001:db8::2/64', 'nodad']])
    await ip(...CLIENT, 'ip', 'address', 'add', address[0] ?? '', 'dev', 'eth0', ...address.slice(1));
  await ip(...CLIENT, 'ip', 'link', 'set', 'eth0', 'up');
  for (const file of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) await writeFile(`/proc/sys/net/${file}`, '1');
}

async function rules(): Promise<string[]> {
  const all = await Promise.all(['iptables', 'ip6tables'].map((program) => output(program, '-t', 'nat', '-S')));
  return all.join('').match(/.*proxmox-lxcri:.*/g) ?? [];
}

test('host ports lead to a pod on a network of Proxmox, and go with it', async (t) => {
  await makeNetworks(t);
  const pods = await GuestPods.make(t, {}, FAULTY_PROGRAM, { toml: MODE });
  const { server, node } = pods;
  node.cluster.state.store.zones['zone1'] = { type: 'simple' };
  node.cluster.state.store.vnets['v1'] = { zone: 'zone1', type: 'vnet' };
  const file = join(server.directory, 'config.toml');
  const toml = (await readFile(file, 'utf8')).replace('[proxmox.vmids]', `${NETWORK}\n$&`);
  await writeFile(file, toml);
  const restart = async () => {
    await server.end('SIGKILL');
    await server.start();
  };
  await restart();

  const pod = await server.pod('web', { portMappings }, HANDLER);
  await server.sh(pod, 'web', WEB);
  await server.said('web', 'web', 'ready');
  const peer = async (host: string, ...as: string[]) => {
    const words = [...as, 'busybox', 'wget', '-qO-', `http://${host}:8080/cgi-bin/peer`];
    // httpd has addresses in brackets, and those of IPv4 as of IPv6.
    return (await output('env', ...words)).trim().replaceAll(/^\[(?:::ffff:)?|\]$/g, '');
  };
  t.is(await peer('192.0.2.1', 'ip', ...CLIENT), '10.77.5.1', 'replies pass the node');
  t.is(await peer('[2001:db8::1]', 'ip', ...CLIENT), 'fd77:5::1');
  t.is(await peer('192.0.2.1'), '10.77.5.1', 'from the node itself');
  t.is((await rules()).length, 6);
  await restart();
  t.notRegex(await server.log(), /have been changed/);
  await pods.stop(pod);
  t.deepEqual(await rules(), []);
  await pods.remove(pod);

  // A server that dies after it has opened the ports, and whose records are lost.
  await new Faults(server.directory).arm({
    point: 'spawn iptables-restore --noflush --wait 30#0',
    how: 'die-after',
    errno: 'EIO',
  });
  await t.throwsAsync(server.pod('lost', { portMappings }, HANDLER));
  t.is((await rules()).length, 3);
  for (const root of ['root', 'state/records'])
    await rm(join(server.directory, root, 'sandboxes'), { recursive: true, force: true });
  await server.start();
  t.deepEqual(await pods.nothingLeft(), []);
  t.deepEqual(await rules(), []);

  // The mode is changed while a pod runs.
  const kept = await server.pod('kept', { portMappings }, HANDLER);
  await writeFile(file, toml.replace(MODE, ''));
  await restart();
  t.is((await rules()).length, 6);
  await pods.remove(kept);
  t.deepEqual(await rules(), []);
  t.deepEqual(await pods.nothingLeft(), []);
});
