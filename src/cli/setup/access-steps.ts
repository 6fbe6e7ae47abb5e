import type { Config } from '../../core/config/schema.ts';
import { exists } from '../../utils/fs/exists.ts';
import type { ProxmoxGrants } from '../command.ts';
import { writeNew } from './file-steps.ts';
import { pveum } from './pveum.ts';
import { type Step, whereAbsent } from './step.ts';

/** The steps that make the token of `[proxmox]`, with the privileges that pods as containers need and no others. */
export function accessSteps({ proxmox }: Config, { pools, grants }: Awaited<ReturnType<ProxmoxGrants>>): Step[] {
  const [user = '', name = ''] = proxmox.token_id.split('!');
  const roles = new Map(grants.map(({ role, privileges }) => [role, privileges]));
  const owners = [...(user === 'root@pam' ? [] : [['user', user] as const]), ['token', proxmox.token_id] as const];
  return [
    ...pools.map(poolStep),
    ...[...roles].map(([role, privileges]) => roleStep(role, privileges)),
    userStep(user),
    tokenStep(user, name, proxmox.token_file),
    ...grants.flatMap(({ path, role, propagate }) =>
      owners.map(([type, id]) => aclStep({ path, role, propagate, type, id })),
    ),
  ];
}

function poolStep(name: string): Step {
  const isThere = async () => (await pveum.pools()).some(({ poolid }) => poolid === name);
  return whereAbsent(`resource pool ${name}`, isThere, 'add the resource pool of the guests', async (record) => {
    await pveum.addPool(name);
    await record({ kind: 'pool', name });
  });
}

function roleStep(name: string, privileges: readonly string[]): Step {
  return {
    name: `role ${name}`,
    look: async () => {
      const known = (await pveum.roles()).find(({ roleid }) => roleid === name);
      if (known !== undefined) {
        const lacking = privileges.filter((one) => !known.privs.split(/[\s,]+/).includes(one));
        if (lacking.length === 0) return { text: 'is there' };
        throw new Error(
          `role ${name} lacks ${lacking.join(', ')}: run "pveum role modify ${name} --privs '${lacking.join(',')}' --append 1" and setup again`,
        );
      }
      return {
        text: `add it with ${privileges.join(', ')}`,
        make: async (record) => {
          await pveum.addRole(name, privileges);
          await record({ kind: 'role', name, privileges: [...privileges] });
        },
      };
    },
  };
}

function userStep(id: string): Step {
  const isThere = async () => (await pveum.users()).some(({ userid }) => userid === id);
  return whereAbsent(`user ${id}`, isThere, 'add it, without a password', async (record) => {
    await pveum.addUser(id);
    await record({ kind: 'user', id });
  });
}

function tokenStep(user: string, name: string, file: string): Step {
  return {
    name: `token ${user}!${name}`,
    look: async () => {
      const isUserThere = (await pveum.users()).some(({ userid }) => userid === user);
      const isThere = isUserThere && (await pveum.tokens(user)).some(({ tokenid }) => tokenid === name);
      const hasFile = await exists(file);
      if (isThere && hasFile) return { text: `is there, and ${file}` };
      if (isThere)
        throw new Error(
          `token ${user}!${name} exists, but not ${file}, and its secret is not shown again: run "pveum user token remove '${user}' ${name}" and setup again`,
        );
      if (hasFile)
        throw new Error(`${file} exists, but not the token ${user}!${name}: remove the file and run setup again`);
      return {
        text: `add it with privilege separation, and write its secret to ${file}, mode 0600`,
        make: async (record) => {
          const secret = await pveum.addToken(user, name);
          await record({ kind: 'token', user, name });
          await writeNew(file, `${secret}\n`, 0o600, record);
        },
      };
    },
  };
}

interface Grant {
  path: string;
  role: string;
  propagate: boolean;
  type: 'user' | 'token';
  id: string;
}

function aclStep({ path, role, propagate, type, id }: Grant): Step {
  return {
    name: `access of ${type} ${id} to ${path}`,
    look: async () => {
      const entries = await pveum.acl();
      const own = entries.find(
        (one) => one.path === path && one.type === type && one.ugid === id && one.roleid === role,
      );
      if (own !== undefined && (!propagate || own.propagate === 1)) return { text: `has ${role}` };
      if (own !== undefined)
        throw new Error(
          `${id} has ${role} on ${path} without propagation: run "pveum acl modify ${path} --${type}s '${id}' --roles ${role}" and setup again`,
        );
      return {
        text: `grant ${role}`,
        make: async (record) => {
          await pveum.grant(path, type, id, role, propagate);
          await record({ kind: 'acl', path, type, id, role });
        },
      };
    },
  };
}
