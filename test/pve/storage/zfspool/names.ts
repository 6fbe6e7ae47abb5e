import { fault } from '../../http/api-error.ts';

/** What the name of a volume says. */
export interface PoolVolume {
  /** The dataset, without the pool. */
  readonly name: string;
  readonly vmid: number;
  readonly base: boolean;
  readonly format: 'raw' | 'subvol';
  /** The base that it is a linked clone of. */
  readonly origin?: string;
}

const VOLUME = /^(?:((?:base|basevol)-\d+-\S+)\/)?((base|basevol|vm|subvol)-(\d+)-\S+)$/;

/**
 * Takes a volume's name apart: `subvol-100-disk-0`, or `basevol-100-disk-0/subvol-101-disk-0` of a linked clone.
 * @throws ApiError for what is none.
 */
export function parseName(volume: string): PoolVolume {
  const [, origin, name, kind, vmid] = VOLUME.exec(volume) ?? [];
  if (name === undefined || kind === undefined) throw fault(`unable to parse zfs volume name '${volume}'`);
  return {
    name,
    vmid: Number(vmid),
    base: kind.startsWith('base'),
    format: kind.endsWith('vol') ? 'subvol' : 'raw',
    ...(origin === undefined ? {} : { origin }),
  };
}

/** Whether the dataset of that name directly below the pool is a volume of a guest. */
export function isVolume(name: string): boolean {
  return /^(?:vm|base|subvol|basevol)-\d+-\S+$/.test(name);
}
