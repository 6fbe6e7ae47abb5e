import type { ExecutionContext } from 'ava';
import { loadGuest } from '../pve/config/guest.ts';
import type { Firewall } from '../pve/state/store.ts';
import type { ClusterState } from '../pve/state/cluster-state.ts';
import { output } from './pve-pool.ts';

const NONE: Pick<Firewall, 'options' | 'rules'> = { options: {}, rules: [] };
const CHAINS = ['iptables', 'ip6tables'];

/**
 * The firewall of a simulated node: the chains that pve-firewall writes for packets to guests with `firewall=1`, which cross the
 * guest's own bridge from the port fwlnVMIDi0 to vethVMIDi0. Removed after the test.
 */
export class GuestFirewall {
  readonly #state: ClusterState;
  readonly #groups: Readonly<Record<string, readonly number[]>>;

  private constructor(state: ClusterState, groups: Readonly<Record<string, readonly number[]>>) {
    this.#state = state;
    this.#groups = groups;
  }

  /** @param groups the TCP ports that each security group opens. */
  static async make(
    t: Pick<ExecutionContext, 'teardown'>,
    state: ClusterState,
    groups: Readonly<Record<string, readonly number[]>>,
  ): Promise<GuestFirewall> {
    for (const program of CHAINS) {
      const name = `net.bridge.bridge-nf-call-${program}`;
      const before = (await output('sysctl', '-n', name)).trim();
      await output('sysctl', '-qw', `${name}=1`);
      t.teardown(() => output('sysctl', '-qw', `${name}=${before}`));
      for (const chain of ['PVEFW-FORWARD', 'PVEFW-FWBR-IN']) await output(program, '-N', chain);
      const bridged = ['-m', 'physdev', '--physdev-is-bridged'];
      await output(program, '-A', 'PVEFW-FORWARD', ...bridged, '--physdev-in', 'fwln+', '-j', 'PVEFW-FWBR-IN');
      await output(program, '-I', 'FORWARD', '-j', 'PVEFW-FORWARD');
      t.teardown(async () => {
        await output(program, '-D', 'FORWARD', '-j', 'PVEFW-FORWARD');
        for (const action of ['-F', '-X']) {
          for (const chain of await GuestFirewall.#chains(program)) await output(program, action, chain);
        }
      });
    }
    return new GuestFirewall(state, groups);
  }

  static async #chains(program: string): Promise<string[]> {
    const listed = await output(program, '-S');
    return [...listed.matchAll(/^-N (PVEFW-\S+|veth\S+)$/gm)].map(([, name = '']) => name);
  }

  /** Writes the chains of all guests whose firewall is on, by its options and security groups. */
  async write(): Promise<void> {
    for (const ref of this.#state.guests.list()) {
      const { options, rules } = this.#state.store.firewall[String(ref.vmid)] ?? NONE;
      const card = loadGuest(this.#state, ref).current.values['net0'] ?? '';
      if (Number(options['enable']) !== 1 || !/(?:^|,)firewall=1/.test(card)) continue;
      const veth = `veth${String(ref.vmid)}i0`;
      const ports = rules.flatMap(({ type, action }) => (type === 'group' ? (this.#groups[String(action)] ?? []) : []));
      for (const program of CHAINS) {
        await output(program, '-N', `${veth}-IN`);
        const state = ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'];
        await output(program, '-A', `${veth}-IN`, ...state, '-j', 'ACCEPT');
        if (program === 'ip6tables') await output(program, '-A', `${veth}-IN`, '-p', 'icmpv6', '-j', 'ACCEPT');
        for (const port of ports)
          await output(program, '-A', `${veth}-IN`, '-p', 'tcp', '--dport', String(port), '-j', 'ACCEPT');
        await output(program, '-A', `${veth}-IN`, '-j', String(options['policy_in']));
        const bridged = ['-m', 'physdev', '--physdev-is-bridged', '--physdev-out', veth];
        await output(program, '-A', 'PVEFW-FWBR-IN', ...bridged, '-j', `${veth}-IN`);
      }
    }
  }
}
