import { fault } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, integer, required, text } from '../params/property.ts';
import type { User } from '../../state/store.ts';
import { textOf, type Call, type Method, type Permission } from '../method.ts';
import { hashPassword } from './session.ts';
import { without } from '../../state/without.ts';

const modify: Permission = { path: '/access/groups', privileges: ['User.Modify'] };
const look: Permission = { path: '/access/groups', privileges: ['User.Modify', 'Sys.Audit'], any: true };

const fields = {
  comment: text({ maxLength: 2048 }),
  email: text({ maxLength: 254 }),
  enable: flag,
  expire: integer(0),
  firstname: text({ maxLength: 1024 }),
  groups: text(),
  keys: text({ pattern: /[0-9a-zA-Z!=]{0,4096}/ }),
  lastname: text({ maxLength: 1024 }),
};

function userOf({ state, params }: Call): User {
  const name = String(params['userid']);
  const user = state.store.users[name];
  if (user === undefined) throw fault(`no such user ('${name}')`);
  return user;
}

function given(call: Call): Partial<User> {
  if (textOf(call, 'groups') !== '') throw fault(`no such group '${textOf(call, 'groups')}'`);
  const { comment, email, enable, expire } = call.params;
  return {
    ...(comment === undefined ? {} : { comment: String(comment) }),
    ...(email === undefined ? {} : { email: String(email) }),
    ...(enable === undefined ? {} : { enable: Number(enable) }),
    ...(expire === undefined ? {} : { expire: Number(expire) }),
  };
}

function tokensOf({ state, params }: Call): Record<string, object> | null {
  const prefix = `${String(params['userid'])}!`;
  const own = Object.entries(state.store.tokens).filter(([id]) => id.startsWith(prefix));
  if (own.length === 0) return null;
  return Object.fromEntries(own.map(([id, token]) => [id.slice(prefix.length), without(token, 'secret')]));
}

/** Users; groups are not simulated. */
export const userMethods: readonly Method[] = [
  {
    verb: 'GET',
    path: '/access/users',
    permission: 'all',
    protected: true,
    parameters: { enabled: flag, full: flag },
    handle: ({ state, who }) => {
      const all = state.access.allows(who, '/access/groups', ['User.Modify', 'Sys.Audit'], true);
      return Object.entries(state.store.users)
        .filter(([userid]) => all || userid === who.user)
        .map(([userid, user]) => ({
          userid,
          ...without(user, 'password'),
          ...(userid === 'root@pam' ? {} : { email: user.email ?? '' }),
          'realm-type': userid.split('@')[1],
        }));
    },
  },
  {
    verb: 'POST',
    path: '/access/users',
    permission: modify,
    protected: true,
    parameters: {
      ...fields,
      userid: required(text({ format: formats.userId, maxLength: 64 })),
      password: text({ minLength: 8, maxLength: 64 }),
    },
    handle: (call) => {
      const { users } = call.state.store;
      const name = textOf(call, 'userid');
      if (users[name] !== undefined) throw fault(`create user failed: user '${name}' already exists`);
      const password = textOf(call, 'password');
      users[name] = {
        enable: 1,
        expire: 0,
        ...given(call),
        ...(password === '' ? {} : { password: hashPassword(password) }),
      };
    },
  },
  {
    verb: 'GET',
    path: '/access/users/{userid}',
    permission: look,
    handle: (call) => {
      const user = userOf(call);
      return { ...without(user, 'password'), email: user.email ?? '', groups: [], tokens: tokensOf(call) };
    },
  },
  {
    verb: 'PUT',
    path: '/access/users/{userid}',
    permission: modify,
    protected: true,
    parameters: { ...fields, append: flag },
    handle: (call) => void Object.assign(userOf(call), given(call)),
  },
  {
    verb: 'DELETE',
    path: '/access/users/{userid}',
    permission: modify,
    protected: true,
    handle: (call) => {
      userOf(call);
      const { store } = call.state;
      const name = textOf(call, 'userid');
      Reflect.deleteProperty(store.users, name);
      for (const id of Object.keys(store.tokens))
        if (id.startsWith(`${name}!`)) Reflect.deleteProperty(store.tokens, id);
      store.acl = store.acl.filter(({ ugid }) => ugid !== name && !ugid.startsWith(`${name}!`));
    },
  },
];
