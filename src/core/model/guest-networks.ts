/** A network of guests of Proxmox VE as the configuration has it, which has been checked; docs/configuration.md describes its keys. */
export interface NetworkSettings {
  namespaces: readonly string[];
  bridge: string;
  tag: number;
  rate: number;
  mtu: number;
  mac_prefix: string;
  firewall: boolean;
  firewall_policy: 'ACCEPT' | 'DROP' | 'REJECT';
  security_groups: readonly string[];
  subnets: readonly string[];
  gateways: readonly string[];
  node_addresses: Readonly<Record<string, readonly string[]>>;
  node_routes: readonly string[];
  addresses: Readonly<Record<string, readonly string[]>>;
}
