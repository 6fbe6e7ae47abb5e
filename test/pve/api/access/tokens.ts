import { randomUUID } from 'node:crypto';
import { badParameters, fault, forbidden } from '../../http/api-error.ts';
import { elements } from '../params/formats.ts';
import { flag, integer, text } from '../params/property.ts';
import type { Token } from '../../state/store.ts';
import { textOf, type Call, type Method, type Permission } from '../method.ts';

// One's own tokens, by a ticket; those of others with User.Modify.
const permission: Permission = {
  or: [
    {
      check: ({ who, params }) => {
        if (who.token !== undefined || params['userid'] !== who.user) throw forbidden();
      },
    },
    { path: '/access/groups', privileges: ['User.Modify'] },
  ],
};

const path = '/access/users/{userid}/token';

function nameOf(call: Call): string {
  return `${textOf(call, 'userid')}!${textOf(call, 'tokenid')}`;
}

function tokenOf(call: Call): Token {
  const token = call.state.store.tokens[nameOf(call)];
  if (token === undefined)
    throw fault(`no such token '${textOf(call, 'tokenid')}' for user '${textOf(call, 'userid')}'`);
  return token;
}

function shown({ comment, privsep, expire }: Token): Record<string, unknown> {
  return { privsep, expire, ...(comment === undefined ? {} : { comment }) };
}

/** API tokens of users. */
export const tokenMethods: readonly Method[] = [
  {
    verb: 'GET',
    path,
    permission,
    handle: (call) => {
      const prefix = `${textOf(call, 'userid')}!`;
      return Object.entries(call.state.store.tokens)
        .filter(([id]) => id.startsWith(prefix))
        .map(([id, token]) => ({ tokenid: id.slice(prefix.length), ...shown(token) }));
    },
  },
  { verb: 'GET', path: `${path}/{tokenid}`, permission, handle: (call) => shown(tokenOf(call)) },
  {
    verb: 'POST',
    path: `${path}/{tokenid}`,
    permission,
    protected: true,
    parameters: { comment: text(), expire: integer(0), privsep: flag },
    handle: (call) => {
      const { store } = call.state;
      const id = nameOf(call);
      const user = textOf(call, 'userid');
      if (store.users[user] === undefined) throw fault(`no such user ('${user}')`);
      if (store.tokens[id] !== undefined) throw badParameters({ tokenid: 'Token already exists.' });
      const { comment, expire, privsep } = call.params;
      const secret = randomUUID();
      store.tokens[id] = {
        secret,
        privsep: Number(privsep ?? 1),
        expire: Number(expire ?? 0),
        ...(comment === undefined ? {} : { comment: String(comment) }),
      };
      return {
        'full-tokenid': id,
        value: secret,
        info: {
          privsep: privsep === undefined ? 1 : String(privsep),
          ...(expire === undefined ? {} : { expire: String(expire) }),
          ...(comment === undefined ? {} : { comment }),
        },
      };
    },
  },
  {
    verb: 'PUT',
    path: `${path}/{tokenid}`,
    permission,
    protected: true,
    parameters: {
      comment: text(),
      expire: integer(0),
      privsep: flag,
      regenerate: { ...flag, only: '9' },
      delete: text({ only: '9' }),
    },
    handle: (call) => {
      const token = tokenOf(call);
      const { comment, expire, privsep, regenerate } = call.params;
      for (const key of elements(call.params['delete'])) {
        if (key === 'comment') delete token.comment;
        if (key === 'expire') token.expire = 0;
      }
      if (comment !== undefined) token.comment = String(comment);
      if (expire !== undefined) token.expire = Number(expire);
      if (privsep !== undefined) token.privsep = Number(privsep);
      if (regenerate !== 1) return shown(token);
      token.secret = randomUUID();
      return { ...shown(token), 'full-tokenid': nameOf(call), value: token.secret };
    },
  },
  {
    verb: 'DELETE',
    path: `${path}/{tokenid}`,
    permission,
    protected: true,
    handle: (call) => {
      tokenOf(call);
      const { store } = call.state;
      Reflect.deleteProperty(store.tokens, nameOf(call));
      store.acl = store.acl.filter(({ ugid }) => ugid !== nameOf(call));
    },
  },
];
