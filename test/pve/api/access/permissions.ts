import { badParameters, fault, forbidden } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, required, text, type Format } from '../params/property.ts';
import { isAclPath, nameOf, type Identity } from '../../state/access.ts';
import type { Grant } from '../../state/store.ts';
import { numberOf, textOf, type Call, type Method, type Permission } from '../method.ts';

const modifyRoles: Permission = { path: '/access', privileges: ['Sys.Modify'] };

const privilege: Format = (value) =>
  /^[A-Z]\w+(?:\.\w+)+$/.test(value) ? undefined : `invalid privilege '${value}'\n`;

function checkPrivileges({ state, params }: Call): string[] {
  const privileges = formats.elements(params['privs']);
  const unknown = privileges.find((name) => !state.access.knows(name));
  if (unknown !== undefined) throw badParameters({ privs: `invalid format - invalid privilege '${unknown}'\n` });
  return privileges;
}

function parseIdentity(name: string): Identity {
  const [user = '', token] = name.split('!');
  return token === undefined ? { user } : { user, token };
}

function grants(call: Call): Omit<Grant, 'propagate'>[] {
  const { store, access } = call.state;
  const path = textOf(call, 'path');
  const users = formats.elements(call.params['users']);
  const tokens = formats.elements(call.params['tokens']);
  const groups = formats.elements(call.params['groups']);
  const roles = formats.elements(call.params['roles']);
  for (const role of roles)
    if (access.role(role) === undefined) throw fault(`ACL update failed: role '${role}' does not exist`);
  for (const user of users)
    if (store.users[user] === undefined) throw fault(`ACL update failed: user '${user}' does not exist`);
  for (const token of tokens) {
    if (store.tokens[token] === undefined)
      throw fault(
        `ACL update failed: no such token '${token.split('!')[1] ?? ''}' for user '${token.split('!')[0] ?? ''}'`,
      );
  }
  for (const group of groups) throw fault(`ACL update failed: group '${group}' does not exist`);
  if (users.length + tokens.length === 0)
    throw badParameters(
      Object.fromEntries(
        ['users', 'groups', 'tokens'].map((name) => [name, "either 'users', 'groups' or 'tokens' is required."]),
      ),
    );
  return roles.flatMap((roleid) => [
    ...users.map((ugid) => ({ path, type: 'user' as const, ugid, roleid })),
    ...tokens.map((ugid) => ({ path, type: 'token' as const, ugid, roleid })),
  ]);
}

/** Roles, ACLs and what they amount to. */
export const permissionMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/access/roles',
    permission: 'all',
    handle: ({ state }) => [
      ...state.access.builtIn().map(([roleid, privileges]) => ({ roleid, privs: privileges.join(','), special: 1 })),
      ...Object.entries(state.store.roles).map(([roleid, privileges]) => ({
        roleid,
        privs: privileges.join(','),
        special: 0,
      })),
    ],
  },
  {
    verb: 'POST',
    path: '/access/roles',
    permission: modifyRoles,
    protected: true,
    parameters: {
      roleid: required(text({ format: formats.roleId })),
      privs: text({ format: formats.listOf(privilege) }),
    },
    handle: (call) => {
      const role = textOf(call, 'roleid');
      if (call.state.access.role(role) !== undefined) throw fault(`create role failed: role '${role}' already exists`);
      call.state.store.roles[role] = checkPrivileges(call);
    },
  },
  {
    verb: 'GET',
    path: '/access/roles/{roleid}',
    permission: 'all',
    handle: (call) => {
      const role = textOf(call, 'roleid');
      const privileges = call.state.access.role(role);
      if (privileges === undefined) throw fault(`role '${role}' does not exist`);
      return Object.fromEntries(privileges.map((name) => [name, 1]));
    },
  },
  {
    verb: 'PUT',
    path: '/access/roles/{roleid}',
    permission: modifyRoles,
    protected: true,
    parameters: { privs: text({ format: formats.listOf(privilege) }), append: flag },
    handle: (call) => {
      const { roles } = call.state.store;
      const role = textOf(call, 'roleid');
      const before = roles[role];
      if (before === undefined) throw fault(`update role failed: role '${role}' does not exist`);
      roles[role] = [...new Set([...(numberOf(call, 'append') === 1 ? before : []), ...checkPrivileges(call)])];
    },
  },
  {
    verb: 'DELETE',
    path: '/access/roles/{roleid}',
    permission: modifyRoles,
    protected: true,
    handle: (call) => {
      const { store } = call.state;
      const role = textOf(call, 'roleid');
      if (store.roles[role] === undefined) throw fault(`delete role failed: role '${role}' does not exist`);
      Reflect.deleteProperty(store.roles, role);
      store.acl = store.acl.filter(({ roleid }) => roleid !== role);
    },
  },
  {
    verb: 'GET',
    path: '/access/acl',
    permission: 'all',
    handle: ({ state, who }) =>
      state.store.acl.filter(({ path }) => state.access.allows(who, path, ['Permissions.Modify', 'Sys.Audit'], true)),
  },
  {
    verb: 'PUT',
    path: '/access/acl',
    permission: { path: '{path}', privileges: ['Permissions.Modify'] },
    protected: true,
    parameters: {
      path: required(text()),
      roles: required(text()),
      delete: flag,
      groups: text(),
      propagate: flag,
      tokens: text(),
      users: text(),
    },
    handle: (call) => {
      const { store } = call.state;
      const path = textOf(call, 'path');
      if (!isAclPath(path)) throw badParameters({ path: `invalid ACL path '${path}'` });
      for (const grant of grants(call)) {
        store.acl = store.acl.filter(
          ({ path: at, type, ugid, roleid }) =>
            at !== path || type !== grant.type || ugid !== grant.ugid || roleid !== grant.roleid,
        );
        if (numberOf(call, 'delete') === 0)
          store.acl.push({ ...grant, propagate: Number(call.params['propagate'] ?? 1) });
      }
    },
  },
  {
    verb: 'GET',
    path: '/access/permissions',
    permission: 'all',
    parameters: {
      path: text(),
      userid: text({ pattern: /[^\s:/]+@[A-Za-z][A-Za-z0-9._-]+(?:![A-Za-z][A-Za-z0-9._-]+)?/ }),
    },
    handle: (call) => {
      const { state, who } = call;
      const asked = textOf(call, 'userid') || nameOf(who);
      const subject = parseIdentity(asked);
      if (asked !== nameOf(who) && (subject.user !== who.user || who.token !== undefined)) {
        if (!state.access.allows(who, '/access', ['Sys.Audit'])) throw forbidden('/access, Sys.Audit');
      }
      const path = textOf(call, 'path');
      const paths = path === '' ? state.access.paths() : [path];
      return Object.fromEntries(
        paths
          .map((at) => [at, state.access.permissions(subject, at)] as const)
          .filter(([, found]) => path !== '' || Object.keys(found).length > 0),
      );
    },
  },
];
