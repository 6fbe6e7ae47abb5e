import { readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { output } from './pve-pool.ts';

/** The VLAN-aware bridge vmbr0 of a simulated node, with this machine as the router of one VLAN; removed after the test. */
export class NetworkFixture {
  readonly tag: number;

  private constructor(tag: number) {
    this.tag = tag;
  }

  static async make(t: Pick<ExecutionContext, 'teardown'>, tag: number): Promise<NetworkFixture> {
    await output('ip', 'link', 'add', 'vmbr0', 'up', 'type', 'bridge', 'vlan_filtering', '1');
    t.teardown(() => output('ip', 'link', 'del', 'vmbr0'));
    const router = `vmbr0.${String(tag)}`;
    await output('bridge', 'vlan', 'add', 'dev', 'vmbr0', 'vid', String(tag), 'self');
    await output('ip', 'link', 'add', 'link', 'vmbr0', 'name', router, 'type', 'vlan', 'id', String(tag));
    await output('ip', 'address', 'add', `10.77.${String(tag)}.1/24`, 'dev', router);
    await output('ip', 'address', 'add', `fd77:${String(tag)}::1/64`, 'dev', router, 'nodad');
    await output('ip', 'link', 'set', 'dev', router, 'up');
    return new NetworkFixture(tag);
  }

  /** The network in the configuration of a server, TOML. @param extra more keys of it. */
  toml(addresses: Readonly<Record<string, readonly string[]>>, extra = ''): string {
    const tag = String(this.tag);
    const nodes = Object.entries(addresses).map(([node, ranges]) => `${node} = ${JSON.stringify(ranges)}`);
    return `
[[proxmox.networks]]
bridge = "vmbr0"
tag = ${tag}
subnets = ["10.77.${tag}.0/24", "fd77:${tag}::/64"]
gateways = ["10.77.${tag}.1", "fd77:${tag}::1"]
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
