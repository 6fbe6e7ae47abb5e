import type { Release } from '../api/params/property.ts';

interface Group {
  /** Only administrators have them. */
  readonly root: readonly string[];
  readonly admin: readonly string[];
  readonly user: readonly string[];
  readonly audit: readonly string[];
}

const prefixed = (prefix: string, ...names: string[]): string[] => names.map((name) => `${prefix}.${name}`);

function groups(release: Release): Record<string, Group> {
  const nine = release.startsWith('9');
  const agent = prefixed('VM.GuestAgent', 'FileRead', 'FileWrite', 'FileSystemMgmt', 'Unrestricted');
  return {
    VM: {
      root: [],
      admin: [
        ...prefixed('VM.Config', 'Disk', 'CPU', 'Memory', 'Network', 'HWType', 'Options'),
        ...prefixed('VM', 'Allocate', 'Clone', 'Migrate', 'Snapshot', 'Snapshot.Rollback'),
        ...(nine ? [...agent, 'VM.Replicate'] : ['VM.Monitor']),
      ],
      user: ['VM.Config.CDROM', 'VM.Config.Cloudinit', 'VM.Console', 'VM.Backup', 'VM.PowerMgmt'],
      audit: nine ? ['VM.Audit', 'VM.GuestAgent.Audit'] : ['VM.Audit'],
    },
    Sys: {
      root: prefixed('Sys', 'PowerMgmt', 'Modify', 'Incoming', 'AccessNetwork'),
      admin: ['Sys.Console', 'Sys.Syslog'],
      user: [],
      audit: ['Sys.Audit'],
    },
    Datastore: {
      root: [],
      admin: ['Datastore.Allocate', 'Datastore.AllocateTemplate'],
      user: ['Datastore.AllocateSpace'],
      audit: ['Datastore.Audit'],
    },
    SDN: { root: [], admin: ['SDN.Allocate'], user: ['SDN.Use'], audit: ['SDN.Audit'] },
    User: {
      root: ['Realm.Allocate'],
      admin: ['User.Modify', 'Group.Allocate', 'Realm.AllocateUser'],
      user: [],
      audit: [],
    },
    Pool: { root: [], admin: ['Pool.Allocate'], user: [], audit: ['Pool.Audit'] },
    Mapping: { root: [], admin: ['Mapping.Modify'], user: ['Mapping.Use'], audit: ['Mapping.Audit'] },
  };
}

/** The roles that a release has of itself, and every privilege it knows. */
export interface Privileges {
  readonly roles: ReadonlyMap<string, readonly string[]>;
  readonly all: ReadonlySet<string>;
}

/** Roles and privileges of `release`. */
export function privilegesOf(release: Release): Privileges {
  const known = groups(release);
  const roles = new Map<string, readonly string[]>();
  const all = new Set<string>(['Permissions.Modify']);
  for (const [name, group] of Object.entries(known)) {
    for (const privilege of Object.values(group).flat() as string[]) all.add(privilege);
    const user = [...group.user, ...group.audit];
    if (user.length > 0) roles.set(`PVE${name}User`, user);
    roles.set(`PVE${name}Admin`, [...group.admin, ...user]);
  }
  const every = Object.values(known);
  roles.delete('PVESysUser');
  roles.set('PVEMappingAudit', known['Mapping']!.audit);
  roles.set('PVETemplateUser', ['VM.Clone', 'VM.Audit']);
  roles.set(
    'PVEAuditor',
    every.flatMap((group) => group.audit),
  );
  roles.set(
    'PVEAdmin',
    every.flatMap((group) => [...group.admin, ...group.user, ...group.audit]),
  );
  roles.set('Administrator', [...all]);
  roles.set('NoAccess', []);
  return { roles, all };
}
