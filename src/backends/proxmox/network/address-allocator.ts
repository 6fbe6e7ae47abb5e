import { CriError, failedPrecondition, StatusCode } from '../../../core/model/errors.ts';
import type { Logger } from '../../../core/model/logger.ts';
import {
  type AddressRange,
  formatAddress,
  formatRange,
  isWithin,
  parseRange,
  type Subnet,
} from '../../../utils/net/address-range.ts';
import type { AddressMap } from './address-map.ts';
import { type GuestNetwork, type NetworkSubnet, withoutAddresses } from './guest-network.ts';

export interface AddressAllocatorParts {
  map: AddressMap;
  /** Name of the node. */
  node: string;
  /** Addresses that guests of the cluster have in their configuration, whoever made them; unless `fresh`, of a moment ago. */
  inGuests: (fresh: boolean) => Promise<ReadonlySet<string>>;
  logger: Logger;
}

/**
 * Gives pods addresses of the node's own ranges. Each is on disk before it is used and until {@link release}, so that none is
 * given twice, whatever ends this process. One that becomes free is given again after all others.
 */
export class AddressAllocator {
  readonly #parts: AddressAllocatorParts;
  /** Where to look next, by ranges. */
  readonly #next = new Map<string, bigint>();

  constructor(parts: AddressAllocatorParts) {
    this.#parts = parts;
  }

  /**
   * Gives a pod one address of each subnet of its network, the primary one first; a pod that has some keeps them.
   * @throws CriError RESOURCE_EXHAUSTED when none is free, FAILED_PRECONDITION when this node has none in the network.
   */
  async reserve(owner: string, network: GuestNetwork): Promise<string[]> {
    const { map, node, inGuests, logger } = this.#parts;
    const problem = withoutAddresses(network, node);
    if (problem !== undefined) throw failedPrecondition(problem);
    for (const fresh of [false, true]) {
      const taken = await inGuests(fresh);
      // From here to the change of the map nothing waits, so that no other call sees the same addresses free.
      const found = network.subnets.flatMap((subnet) => {
        return this.#addressIn(owner, subnet.subnet) ?? this.#find(subnet, taken) ?? [];
      });
      if (found.length < network.subnets.length) continue;
      await map.set(...found.map((address) => [address, { owner }] as const));
      logger.debug('Addresses of a pod', { podSandboxId: owner, addresses: found });
      return found;
    }
    const all = network.subnets.flatMap(({ ranges }) => ranges);
    throw new CriError(
      StatusCode.RESOURCE_EXHAUSTED,
      `no address of ${all.map(formatRange).join(', ')} is free: pods have ${String(this.#countIn(all))}, the others are those of ` +
        `other guests or not for guests; extend ${network.field}.addresses.${node}`,
    );
  }

  /** The addresses that a pod has of its network, in the order of the subnets. */
  addressesOf(owner: string, { subnets }: GuestNetwork): string[] {
    return subnets.flatMap(({ subnet }) => this.#addressIn(owner, subnet) ?? []);
  }

  /** The addresses that a pod has of any network. */
  allOf(owner: string): string[] {
    const own = this.#parts.map.entries().filter(([, entry]) => entry.owner === owner);
    return own.map(([address]) => address);
  }

  /** Frees the addresses of a pod whose guest is gone. No error when it has none. */
  async release(owner: string): Promise<void> {
    const own = this.allOf(owner);
    if (own.length > 0) await this.#parts.map.set(...own.map((address) => [address, undefined] as const));
  }

  /** Pods that have addresses. */
  owners(): string[] {
    return [...new Set(this.#parts.map.entries().map(([, { owner }]) => owner))];
  }

  #addressIn(owner: string, subnet: Subnet): string | undefined {
    const isIts = ([address, entry]: [string, { owner: string }]) => entry.owner === owner && isIn(address, [subnet]);
    return this.#parts.map.entries().find(isIts)?.[0];
  }

  #countIn(ranges: readonly AddressRange[]): number {
    return this.#parts.map.entries().filter(([address]) => isIn(address, ranges)).length;
  }

  /** The next free address of the ranges behind the one that was given last. */
  #find({ subnet, reserved, ranges }: NetworkSubnet, taken: ReadonlySet<string>): string | undefined {
    const { family } = subnet;
    const key = ranges.map(formatRange).join();
    for (const value of valuesFrom(this.#next.get(key), ranges)) {
      const text = formatAddress({ family, value });
      const isGiven = this.#parts.map.get(text) !== undefined || taken.has(text);
      if (isGiven || reserved.some((one) => one.value === value) || isOfSubnet(value, subnet)) continue;
      this.#next.set(key, value + 1n);
      return text;
    }
    return undefined;
  }
}

function isIn(address: string, ranges: readonly AddressRange[]): boolean {
  const one = parseRange(address);
  return one !== undefined && ranges.some((range) => isWithin(one, range));
}

/** Every value of the ranges once, from `start` on, where it lies in one, and then from the beginning. */
function* valuesFrom(start: bigint | undefined, ranges: readonly AddressRange[]): Generator<bigint> {
  const has = ({ first, last }: AddressRange) => start !== undefined && start >= first && start <= last;
  const at = Math.max(ranges.findIndex(has), 0);
  const head = ranges[at];
  if (head === undefined) return;
  const begin = start !== undefined && has(head) ? start : head.first;
  const { family } = head;
  const turned = [{ ...head, first: begin }, ...ranges.slice(at + 1), ...ranges.slice(0, at)];
  for (const { first, last } of [...turned, { family, first: head.first, last: begin - 1n }])
    for (let value = first; value <= last; value++) yield value;
}

/** The subnet's own address and its broadcast address, or the anycast address of its routers (RFC 4291). */
function isOfSubnet(value: bigint, { family, first, last, length }: Subnet): boolean {
  if (length >= (family === 4 ? 31 : 127)) return false;
  return value === first || (family === 4 && value === last);
}
