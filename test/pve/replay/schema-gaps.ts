import type { Finding } from '../schema/exchanges.ts';

/** Members that the simulated node answers and that the published schema does not list. */
export interface Gap {
  /** The method with its template. */
  readonly api: RegExp;
  readonly places: RegExp;
  readonly release: '8.4' | '9.2' | 'both';
  readonly why: string;
}

/** All of them; each is also a member of a real answer, by the schema of 9.2, the sources' facts, or its twin of containers. */
export const gaps: readonly Gap[] = [
  {
    api: /^GET \/cluster\/(?:backup|sdn\/vnets)$/,
    places: /^\[\]\.(?:all|enabled|exclude|mode|schedule|storage|vnet|type|zone|digest)$/,
    release: '8.4',
    why: 'the schema of 8.4 lists no members of entries; that of 9.2 does',
  },
  { api: /^GET \/cluster\/sdn\/zones$/, places: /^\[\]\.digest$/, release: '8.4', why: 'as for vnets' },
  {
    api: /^GET \/cluster\/ha\/resources$/,
    places: /^\[\]\.(?:type|state|comment|digest)$/,
    release: 'both',
    why: 'the schema lists the name alone; the entry itself has these by the same schema',
  },
  {
    api: /^GET \/cluster\/resources$/,
    places: /^\[\]\.(?:shared|sdn)$/,
    release: '8.4',
    why: 'the schema of 8.4 leaves out what that of 9.2 lists',
  },
  {
    api: /^GET \/nodes\/\{node\}\/network\/\{iface\}$/,
    places: /^(?:active|autostart|method6|families|priority|bridge_ports|address|netmask|cidr|gateway)$/,
    release: 'both',
    why: 'the schema lists method and type alone; the list of interfaces has the others',
  },
  {
    api: /^GET \/nodes\/\{node\}\/lxc\/\{vmid\}\/config$/,
    places: /^parent$/,
    release: 'both',
    why: 'the file has it (snapshot.txt:4); the schema lists it for virtual machines only',
  },
  {
    api: /\/firewall\/(?:options|rules|rules\/\{pos\})$/,
    places: /digest$/,
    release: 'both',
    why: 'what a change may be guarded with has to be told',
  },
  {
    api: /\/firewall\/rules$/,
    places: /^\[\]\.(?:enable|type|action|proto|dport)$/,
    release: '8.4',
    why: 'the schema of 8.4 lists the position alone; that of 9.2 lists all',
  },
  {
    api: /^GET \/nodes\/\{node\}\/qemu\/\{vmid\}\/config$/,
    places: /^meta$/,
    release: '8.4',
    why: 'creation writes it; the schema of 9.2 lists it',
  },
  {
    api: /^GET \/nodes\/\{node\}\/qemu\/\{vmid\}\/snapshot$/,
    places: /^\[\]\.(?:digest|running)$/,
    release: 'both',
    why: 'the entry `current`, as for containers (snapshot.txt:1)',
  },
  {
    api: /^GET \/nodes\/\{node\}\/qemu\/\{vmid\}\/snapshot\/\{snapname\}$/,
    places: /^\[\]\.cmd$/,
    release: 'both',
    why: 'an index without members, as for containers (snapshot.txt:19)',
  },
];

/** The gap that explains a finding about the node of `release`. */
export function gapOf(finding: Finding, release: '8.4' | '9.2'): Gap | undefined {
  if (finding.side !== 'answer' || !finding.problem.startsWith('property is not defined in schema')) return undefined;
  return gaps.find(
    (gap) =>
      (gap.release === 'both' || gap.release === release) &&
      gap.api.test(finding.api) &&
      gap.places.test(finding.place),
  );
}
