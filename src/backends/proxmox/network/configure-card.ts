import * as z from 'zod';
import { unavailable } from '../../../core/model/errors.ts';
import { run } from '../../../host/processes/run.ts';
import { messageOf } from '../../../utils/errors.ts';
import { type Address, formatAddress } from '../../../utils/net/address-range.ts';
import type { GuestNetwork } from './guest-network.ts';
import { INTERFACE } from './network-card.ts';

const LIMIT_MS = 30_000;

/** The lines for `ip -batch` (ip(8)) that give a pod's interface its addresses and routes, and bring it up last of all links. */
export function cardCommands({ subnets }: GuestNetwork, addresses: readonly string[]): string {
  const given = subnets.map((one, index) => ({ ...one, address: addresses[index] ?? '' }));
  const route = (to: string, via: Address) => `route replace ${to} via ${formatAddress(via)} dev ${INTERFACE}`;
  return [
    ...given.map(({ subnet, address }) => {
      // The map of addresses knows that nobody else has it: it is usable at once.
      const rest = subnet.family === 4 ? 'broadcast +' : 'nodad';
      return `address replace ${address}/${String(subnet.length)} ${rest} dev ${INTERFACE}`;
    }),
    `link set dev ${INTERFACE} up`,
    ...given.flatMap(({ subnet, gateway, routes }) => [
      ...(gateway === undefined ? [] : [route(subnet.family === 4 ? '0.0.0.0/0' : '::/0', gateway)]),
      ...routes.map(({ to, via }) => route(`${formatAddress({ ...to, value: to.first })}/${String(to.length)}`, via)),
    ]),
    '',
  ].join('\n');
}

/**
 * Gives the interface in a pod's network namespace its addresses and routes, from outside: the guest runs a pause process only,
 * and Proxmox VE 8 sets none. It may be repeated.
 * @throws CriError UNAVAILABLE; the signal's reason.
 */
export async function configureCard(
  netns: string,
  network: GuestNetwork,
  addresses: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = { input: cardCommands(network, addresses), timeoutMs: LIMIT_MS, signal };
  try {
    await run('nsenter', [`--net=${netns}`, '--', 'ip', '-batch', '-'], options);
  } catch (error) {
    signal?.throwIfAborted();
    throw unavailable(`cannot set the addresses of the pod: ${messageOf(error)}`, error);
  }
}

const links = z.array(z.object({ addr_info: z.array(z.object({ local: z.string() })).default([]) }));

/** Checks that a pod's interface still has its addresses. @throws CriError UNAVAILABLE naming those that are missing. */
export async function checkCard(netns: string, addresses: readonly string[]): Promise<void> {
  const show = ['ip', '-json', 'address', 'show', 'dev', INTERFACE];
  try {
    const { stdout } = await run('nsenter', [`--net=${netns}`, '--', ...show], {
      timeoutMs: LIMIT_MS,
      holds: 'nothing',
    });
    const has = new Set(links.parse(JSON.parse(stdout)).flatMap(({ addr_info: all }) => all.map(({ local }) => local)));
    const lost = addresses.filter((address) => !has.has(address));
    if (lost.length > 0) throw new Error(`${INTERFACE} has lost ${lost.join(', ')}`);
  } catch (error) {
    throw unavailable(messageOf(error), error);
  }
}
