import type { Finding } from '../schema/exchanges.ts';

/** Members that the simulated node answers and that neither the schema nor its known deviations list. */
interface Gap {
  /** The method with its template. */
  readonly api: string;
  readonly places: readonly string[];
  readonly why: string;
}

const gaps: readonly Gap[] = [
  {
    api: 'GET /cluster/ha/resources',
    places: ['[].type', '[].state', '[].comment', '[].digest'],
    why: 'the schema lists the name alone; a resource asked for by itself has these, by the same schema',
  },
  {
    api: 'GET /nodes/{node}/lxc/{vmid}/config',
    places: ['parent'],
    why: 'the file has it (snapshot.txt, after the first snapshot); the schema lists it for virtual machines only',
  },
];

/** Whether a gap explains a finding about the simulated node. */
export function isGap({ side, api, place, problem }: Finding): boolean {
  if (side !== 'answer' || !problem.startsWith('property is not defined in schema')) return false;
  return gaps.some((gap) => gap.api === api && gap.places.includes(place));
}
