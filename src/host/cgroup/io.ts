import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { DeviceUsage } from '../../core/model/usage-details.ts';
import { isErrno } from '../../utils/errors.ts';
import { parseCount } from './figures.ts';

/** Keys of io.stat (cgroup v2) and the names of operations that v1 and cAdvisor have. */
const OPERATIONS = [
  ['rbytes', 'Read'],
  ['wbytes', 'Write'],
  ['dbytes', 'Discard'],
] as const;

/** Parses io.stat of v2: lines `8:0 rbytes=1 wbytes=2 rios=3 …`. Other lines are skipped. */
export function readIoStat(text: string, name: (number: string) => string = deviceName): DeviceUsage[] {
  return text.split('\n').flatMap((line) => {
    const [number = '', ...fields] = line.split(' ');
    const parts = numberOf(number);
    if (parts === undefined) return [];
    const values = new Map(fields.map((field) => field.split('=', 2) as [string, string | undefined]));
    const bytes = new Map<string, bigint>();
    for (const [key, operation] of OPERATIONS) {
      const count = parseCount(values.get(key));
      if (count !== undefined) bytes.set(operation, count);
    }
    const [reads, writes] = [parseCount(values.get('rios')), parseCount(values.get('wios'))];
    return [{ device: name(number), ...parts, reads, writes, bytes }];
  });
}

/**
 * Parses io_service_bytes_recursive and io_serviced_recursive of v1, of throttle and of bfq: lines `8:0 Read 1`, of which the last
 * one counts. The totals of all operations and devices are skipped.
 */
export function readBlkio(
  bytesText: string,
  operationsText: string,
  name: (number: string) => string = deviceName,
): DeviceUsage[] {
  const operations = byDevice(operationsText);
  return [...byDevice(bytesText)].flatMap(([number, bytes]) => {
    const parts = numberOf(number);
    if (parts === undefined) return [];
    const counts = operations.get(number);
    return [{ device: name(number), ...parts, reads: counts?.get('Read'), writes: counts?.get('Write'), bytes }];
  });
}

function byDevice(text: string): Map<string, Map<string, bigint>> {
  const devices = new Map<string, Map<string, bigint>>();
  for (const line of text.split('\n')) {
    const [number = '', operation = '', value] = line.split(' ');
    const count = parseCount(value);
    if (count === undefined || !/^(Read|Write|Sync|Async|Discard)$/.test(operation)) continue;
    const known = devices.get(number) ?? new Map<string, bigint>();
    devices.set(number, known.set(operation, count));
  }
  return devices;
}

function numberOf(number: string): { major: string; minor: string } | undefined {
  const [, major, minor] = /^(\d{1,10}):(\d{1,10})$/.exec(number) ?? [];
  return major === undefined || minor === undefined ? undefined : { major, minor };
}

/** `/dev/sda` of `8:0`; the number itself when the kernel does not know the device (any more). */
function deviceName(number: string): string {
  try {
    return `/dev/${basename(readlinkSync(`/sys/dev/block/${number}`)).replaceAll('!', '/')}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL')) return number;
    throw error;
  }
}
