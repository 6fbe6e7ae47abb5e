import { readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { output } from './pve-pool.ts';

/** The VLAN-aware bridge vmbr0 of a simulated node, with this machine as the router of its VLANs; removed after the test. */
export class NetworkFixture {
  static async make(t: Pick<ExecutionContext, 'teardown'>, ...tags: number[]): Promise<NetworkFixture> {
    await output('ip', 'link', 'add', 'vmbr0', 'up', 'type', 'bridge', 'vlan_filtering', '1');
    t.teardown(() => output('ip', 'link', 'del', 'vmbr0'));
    for (const tag of tags.map(String)) {
      const router = `vmbr0.${tag}`;
      await output('bridge', 'vlan', 'add', 'dev', 'vmbr0', 'vid', tag, 'self');
      await output('ip', 'link', 'add', 'link', 'vmbr0', 'name', router, 'type', 'vlan', 'id', tag);
      await output('ip', 'address', 'add', `10.77.${tag}.1/24`, 'dev', router);
      await output('ip', 'address', 'add', `fd77:${tag}::1/64`, 'dev', router, 'nodad');
      await output('ip', 'link', 'set', 'dev', router, 'up');
    }
    return new NetworkFixture();
  }

  /** The network of a VLAN in the configuration of a server, TOML. @param extra more keys of it. */
  toml(tag: number, addresses: Readonly<Record<string, readonly string[]>>, extra = ''): string {
    const number = String(tag);
    const nodes = Object.entries(addresses).map(([node, ranges]) => `${node} = ${JSON.stringify(ranges)}`);
    return `
[[proxmox.networks]]
bridge = "vmbr0"
tag = ${number}
subnets = ["10.77.${number}.0/24", "fd77:${number}::/64"]
gateways = ["10.77.${number}.1", "fd77:${number}::1"]
addresses = { ${nodes.join(', ')} }
${extra}
`;
  }

  /** The one VLAN of a port, whose packets have no tag in it. */
  async vlanOf(port: string): Promise<number | undefined> {
    const [entry] = JSON.parse(await output('bridge', '-json', 'vlan', 'show', 'dev', port)) as {
      vlans: { vlan: number; flags?: string[] }[];
    }[];
    const [only, ...more] = entry?.vlans ?? [];
    return more.length === 0 && only?.flags?.includes('PVID') === true ? only.vlan : undefined;
  }

  /** Links that guests have on this machine. */
  links(): string[] {
    return readdirSync('/sys/class/net').filter((name) => /^(?:veth\d+i|fw)/.test(name));
  }
}
