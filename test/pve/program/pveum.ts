import type { ClusterState } from '../state/cluster-state.ts';

/**
 * Does what command lines of pveum do on a node: `role add`, `role modify`, `acl modify`.
 * @throws Error for a line that pveum would refuse
 */
export function pveum(state: ClusterState, commands: readonly string[] = []): void {
  const { store, access } = state;
  const known = (privileges: string) =>
    privileges.split(',').map((name) => {
      if (!access.knows(name)) throw new Error(`invalid privilege '${name}'`);
      return name;
    });
  for (const line of commands) {
    const role = /^pveum role (add|modify) (\w+) --privs '([\w.,]+)'( --append 1)?$/.exec(line);
    const acl = /^pveum acl modify (\/[\w/.-]*) --(user|token)s '(\S+)' --roles (\w+)(?: --propagate ([01]))?$/.exec(
      line,
    );
    if (role !== null) {
      const [, verb, name = '', privileges = ''] = role;
      if ((verb === 'add') !== (access.role(name) === undefined)) throw new Error(line);
      store.roles[name] = [...(store.roles[name] ?? []), ...known(privileges)];
    } else if (acl !== null) {
      const [, path = '', type = '', ugid = '', roleid = '', propagate = '1'] = acl;
      if (access.role(roleid) === undefined) throw new Error(line);
      store.acl.push({ path, type: type as 'user' | 'token', ugid, roleid, propagate: Number(propagate) });
    } else throw new Error(line);
  }
  state.save();
}
