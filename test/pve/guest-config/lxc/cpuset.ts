/** Kernel list form of CPU numbers in ascending order: `0-2,5`. */
export function cpuList(cpus: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const cpu of cpus) {
    const open = ranges.at(-1);
    if (open?.[1] === cpu - 1) open[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

/** So many of the CPUs, picked at random, in ascending order; all where there are no more. */
export function pickCpus(cpus: readonly number[], count: number, random: () => number): number[] {
  const left = [...cpus];
  while (left.length > count) left.splice(Math.floor(random() * left.length), 1);
  return left;
}
