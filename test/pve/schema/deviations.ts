import type { Finding } from './exchanges.ts';

/** Where the real Proxmox VE does not keep to its own published schema. */
export interface Deviation {
  /** Methods with their templates. */
  apis: readonly string[];
  side: Finding['side'];
  /** Parameters or members, as in a finding. */
  places: readonly string[];
  /** What the finding's problem looks like. */
  problem: RegExp;
  why: string;
  /** A recorded exchange that shows it, `file:number of the exchange in it`. */
  transcript?: string;
  /** Where no exchange is recorded: the file of Proxmox's own code that answers so, as `repository:path`. */
  code?: string;
}

const EXTRA = /^property is not defined in schema/;
const REFUSED = /^refused: invalid format/;

const extra = (apis: string | readonly string[], places: string, transcript: string, why: string): Deviation => ({
  apis: [apis].flat(),
  side: 'answer',
  places: places.split(' '),
  problem: EXTRA,
  transcript,
  why,
});

const unrecorded = (apis: string | readonly string[], places: string, code: string, why: string): Deviation => ({
  apis: [apis].flat(),
  side: 'answer',
  places: places.split(' '),
  problem: EXTRA,
  code,
  why,
});

const GUEST_KINDS = ['GET /nodes/{node}/lxc/{vmid}', 'GET /nodes/{node}/qemu/{vmid}'];
const ofGuests = (rest: string): string[] => GUEST_KINDS.map((guest) => `${guest}/${rest}`);

/** All that is known; everything else that does not fit is a fault. */
export const DEVIATIONS: readonly Deviation[] = [
  extra('POST /access/ticket', 'cap', 'access-ticket.txt:7', 'the user interface gets what the user may do'),
  extra(
    'GET /nodes/{node}/lxc/{vmid}/status/current',
    'swap type pid pressurecpufull',
    'running.txt:5',
    'the status of a container has members that the schema does not list',
  ),
  extra('GET /nodes/{node}/lxc', '[].swap [].type [].pid [].pressurecpufull', 'running.txt:7', 'as for one container'),
  extra(
    'GET /nodes/{node}/storage/{storage}/content',
    '[].content',
    'clone-template.txt:15',
    'what a volume is for is not listed',
  ),
  extra(
    'GET /cluster/tasks',
    '[].starttime [].endtime [].status [].user [].saved [].type [].node [].id',
    'cluster.txt:26',
    'the schema lists the UPID alone',
  ),
  extra('GET /nodes/{node}/tasks', '[].saved', 'task-stop.txt:4', 'a finished task says whether it is archived'),
  extra(
    ['GET /cluster', 'GET /nodes/{node}', 'GET /nodes/{node}/tasks/{upid}'],
    '[].name',
    'cluster.txt:27',
    'an index names its entries, with a schema of entries without members',
  ),
  extra('GET /pools/{poolid}', 'poolid', 'pools.txt:9', 'the answer repeats the name'),
  extra('GET /nodes', '[].id [].type', 'lxc-list-stopped.txt:8', 'the entries are those of the cluster resources'),
  extra(
    'GET /nodes/{node}/status',
    'cpuinfo.vendor cpuinfo.flags cpuinfo.user_hz cpuinfo.family cpuinfo.hvm cpuinfo.mhz',
    'node-status.txt:1',
    'the schema lists a part of what is known of the processor',
  ),
  extra(
    'GET /nodes/{node}/lxc/{vmid}/snapshot',
    '[].digest [].running',
    'snapshot.txt:1',
    'the entry `current` has more than a snapshot',
  ),
  extra('GET /nodes/{node}/lxc/{vmid}/snapshot/{snapname}', '[].cmd', 'snapshot.txt:19', 'an index without members'),
  extra(
    'GET /nodes/{node}/lxc/{vmid}/config',
    'snaptime',
    'snapshot.txt:23',
    'asked for a snapshot, the answer has when it was made',
  ),
  extra(
    'GET /storage',
    '[].content [].digest [].path [].type',
    'storage-config.txt:1',
    'the schema lists the name of a storage alone',
  ),
  {
    apis: ['GET /nodes/{node}/lxc/{vmid}/config'],
    side: 'answer',
    places: ['cores'],
    problem: /^type check \('integer'\) failed/,
    transcript: 'changed-on-disk.txt:5',
    why: 'a bad value that somebody wrote into the file is answered as it stands',
  },
  {
    apis: ['GET /cluster/options'],
    side: 'answer',
    places: ['next-id'],
    problem: /^type check \('string'\) failed/,
    transcript: 'cluster.txt:17',
    why: 'property strings of the cluster are answered as objects',
  },
  {
    apis: ['GET /nodes/{node}/lxc/{vmid}/interfaces'],
    side: 'answer',
    places: ['_root'],
    problem: /^property is missing/,
    transcript: 'start-nonexistent.txt:10',
    why: 'a container that does not run, or is none, has null in place of a list',
  },
  {
    apis: ['POST /access/roles'],
    side: 'request',
    places: ['privs'],
    problem: REFUSED,
    transcript: 'permissions.txt:6',
    why: 'the names of the privileges are not in the schema',
  },
  {
    apis: ['POST /storage'],
    side: 'request',
    places: ['prune-backups'],
    problem: REFUSED,
    transcript: 'storage-config.txt:4',
    why: 'the keys of the format are not in the schema',
  },
  {
    apis: ['POST /nodes/{node}/storage/{storage}/upload'],
    side: 'request',
    places: ['filename'],
    problem: /^property is missing.*accepted$/,
    transcript: 'upload.txt:16',
    why: 'the server that takes the file fails with 500 before parameters are checked',
  },
  unrecorded(
    ofGuests('firewall/options'),
    'digest',
    'pve-firewall:src/PVE/API2/Firewall/VM.pm',
    'options, like rules, come with the digest that a change may name',
  ),
  unrecorded(
    ofGuests('firewall/rules'),
    '[].digest [].enable [].type [].action [].proto [].dport',
    'pve-firewall:src/PVE/API2/Firewall/Rules.pm',
    'the schema of 8.4 lists the place of a rule alone, that of 9.2 leaves the digest out',
  ),
  unrecorded(
    ofGuests('firewall/rules/{pos}'),
    'digest',
    'pve-firewall:src/PVE/API2/Firewall/Rules.pm',
    'a rule comes with the digest of all rules',
  ),
  unrecorded(
    'GET /nodes/{node}/qemu/{vmid}/config',
    'meta',
    'qemu-server:src/PVE/QemuServer.pm',
    'what the machine was made with is missing in the schema of 8.4',
  ),
  unrecorded(
    'GET /nodes/{node}/qemu/{vmid}/snapshot',
    '[].digest [].running',
    'pve-guest-common:src/PVE/GuestHelpers.pm',
    'as for containers',
  ),
  unrecorded(
    'GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}',
    '[].cmd',
    'qemu-server:src/PVE/API2/Qemu.pm',
    'an index without members',
  ),
  unrecorded(
    ofGuests('config'),
    'parent',
    'pve-guest-common:src/PVE/AbstractConfig.pm',
    'the snapshot that the guest comes from is listed in 9.2 and for machines alone',
  ),
  unrecorded(
    'GET /nodes/{node}/tasks/{upid}/status',
    'tokenid',
    'pve-manager:PVE/API2/Tasks.pm',
    'the task of a token names user and token apart',
  ),
  unrecorded(
    ['GET /nodes/{node}/tasks', 'GET /cluster/tasks'],
    '[].tokenid',
    'pve-manager:PVE/API2/Tasks.pm',
    'so do lists of tasks, but for those that run on a node',
  ),
  unrecorded(
    'GET /storage',
    '[].pool [].sparse [].blocksize [].mountpoint [].nodes [].bwlimit',
    'pve-storage:src/PVE/API2/Storage/Config.pm',
    'the schema lists the name of a storage alone',
  ),
  unrecorded(
    'GET /nodes/{node}/storage/{storage}/content',
    '[].name',
    'pve-storage:src/PVE/Storage/ZFSPoolPlugin.pm',
    'the volumes of a pool of ZFS have names',
  ),
  unrecorded(
    'GET /cluster/resources',
    '[].shared [].sdn',
    'pve-manager:PVE/API2/Cluster.pm',
    'the schema of 8.4 leaves out what storages and networks alone have',
  ),
  unrecorded(
    'GET /cluster/ha/resources',
    '[].type [].state [].comment [].digest',
    'pve-ha-manager:src/PVE/API2/HA/Resources.pm',
    'the schema lists the name alone, the answer has the whole entry',
  ),
  unrecorded(
    'GET /cluster/backup',
    '[].enabled [].mode [].all [].exclude [].storage [].schedule',
    'pve-manager:PVE/API2/Backup.pm',
    'the schema of 8.4 lists the id alone',
  ),
  unrecorded(
    'GET /cluster/sdn/zones',
    '[].digest',
    'pve-network:src/PVE/API2/Network/SDN/Zones.pm',
    'the schema of 8.4 leaves it out',
  ),
  unrecorded(
    'GET /cluster/sdn/vnets',
    '[].vnet [].type [].zone [].digest',
    'pve-network:src/PVE/API2/Network/SDN/Vnets.pm',
    'the schema of 8.4 describes no member',
  ),
  unrecorded(
    'GET /nodes/{node}/network/{iface}',
    'active autostart method6 families priority bridge_ports address netmask cidr gateway',
    'pve-manager:PVE/API2/Network.pm',
    'the schema lists type and method, the answer has the whole entry',
  ),
];

function fits(deviation: Deviation, finding: Finding): boolean {
  return (
    deviation.side === finding.side &&
    deviation.apis.includes(finding.api) &&
    deviation.places.includes(finding.place) &&
    deviation.problem.test(finding.problem)
  );
}

/** The findings that no known deviation explains. */
export function unlisted(findings: readonly Finding[]): Finding[] {
  return findings.filter((finding) => !DEVIATIONS.some((deviation) => fits(deviation, finding)));
}

/** Places of recorded deviations that do not show in the findings, or not in the exchange that is named for them. */
export function unseen(findings: readonly Finding[]): string[] {
  return DEVIATIONS.flatMap((deviation) => {
    const { transcript } = deviation;
    if (transcript === undefined) return [];
    const seen = findings.filter((finding) => fits(deviation, finding));
    const lost = [
      ...deviation.apis.filter((api) => !seen.some((finding) => finding.api === api)),
      ...deviation.places.filter((place) => !seen.some((finding) => finding.place === place)),
    ];
    if (!seen.some(({ source }) => source === transcript)) lost.push(transcript);
    return lost.map((what) => `${deviation.apis.join(', ')}: ${what}`);
  });
}

/** Places of the deviations that are known from Proxmox's code alone and that do not show in the findings. */
export function unshown(findings: readonly Finding[]): string[] {
  return DEVIATIONS.filter(({ code }) => code !== undefined).flatMap((deviation) => {
    const seen = findings.filter((finding) => fits(deviation, finding));
    const lost = deviation.places.filter((place) => !seen.some((finding) => finding.place === place));
    return lost.map((place) => `${deviation.apis.join(', ')}: ${place}`);
  });
}
