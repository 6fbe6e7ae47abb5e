import { isIP } from 'node:net';
import { invalidArgument } from '../../core/model/errors.ts';

/**
 * The address ranges of a node's pods from CRI NetworkConfig.pod_cidr, separated by commas.
 * @throws CriError INVALID_ARGUMENT for a range that is not CIDR.
 */
export function podRanges(podCidr: string): string[] {
  const ranges = podCidr.split(',').map((range) => range.trim());
  return ranges.filter((range) => {
    if (range !== '') checkRange(range);
    return range !== '';
  });
}

function checkRange(range: string): void {
  const [address = '', length = '', ...rest] = range.split('/');
  const bits = { 4: 32, 6: 128 }[isIP(address)];
  if (bits !== undefined && rest.length === 0 && /^\d{1,3}$/.test(length) && Number(length) <= bits) return;
  throw invalidArgument(
    'runtime_config.network_config.pod_cidr',
    `${JSON.stringify(range)} must be an address range such as "10.1.0.0/24" or "fd00::/64"`,
  );
}
