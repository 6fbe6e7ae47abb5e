import { drivesOf } from './drives.ts';

/** The places of devices by the letters of the old way to say it: disks, CD-ROMs, networks. */
function byLetters(values: Readonly<Record<string, string>>, letters: string): Map<string, number> {
  const next = new Map(Array.from(letters, (letter, index): [string, number] => [letter, (index + 1) * 100]));
  const order = new Map<string, number>();
  const take = (letter: string): number | undefined => {
    const place = next.get(letter);
    if (place !== undefined) next.set(letter, place + 1);
    return place;
  };
  for (const { key, cdrom } of drivesOf(values)) {
    const place = take(cdrom ? 'd' : 'c');
    if (place !== undefined && (cdrom || values['bootdisk'] === key)) order.set(key, place);
  }
  for (let number = 0; number < 32; number += 1) {
    if (values[`net${number}`] === undefined) continue;
    const place = take('n');
    if (place !== undefined) order.set(`net${number}`, place);
  }
  return order;
}

/** The place of each device that a machine may boot from; the first hundred is free for what `args` add. */
export function bootOrder(values: Readonly<Record<string, string>>): ReadonlyMap<string, number> {
  const { boot } = values;
  if (boot === undefined) return byLetters(values, 'cdn');
  const [, order] = /(?:^|,)order=([^,]*)/.exec(boot) ?? [];
  const [, letters] = /(?:^|,)(?:legacy=)?([acdn]{1,4})(?:,|$)/.exec(boot) ?? [];
  if (letters !== undefined) return byLetters(values, letters);
  const devices = (order ?? '').split(/[;\s]+/).filter((device) => device !== '');
  return new Map(devices.map((device, index) => [device, 100 + index]));
}
