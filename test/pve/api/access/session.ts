import { createHash } from 'node:crypto';
import { ApiError, badParameters, forbidden } from '../../http/api-error.ts';
import * as formats from '../params/formats.ts';
import { flag, required, text } from '../params/property.ts';
import type { Identity } from '../../state/access.ts';
import type { ClusterState } from '../../state/cluster-state.ts';
import { textOf, type Method } from '../method.ts';

/** How a password is kept. */
export function hashPassword(password: string): string {
  return createHash('sha256').update(password).digest('hex');
}

const realms = [
  { realm: 'pam', type: 'pam', comment: 'Linux PAM standard authentication' },
  { realm: 'pve', type: 'pve', comment: 'Proxmox VE authentication server' },
];

const paths: Record<string, string> = {
  access: '/access',
  dc: '/',
  mapping: '/mapping',
  nodes: '/nodes',
  sdn: '/sdn',
  storage: '/storage',
  vms: '/vms',
};

/** What the web interface of a user may show. */
function capabilities(state: ClusterState, who: Identity): Record<string, Record<string, number>> {
  return Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, state.access.permissions(who, path)]));
}

function logIn(state: ClusterState, user: string, password: string): void {
  const known = state.store.users[user];
  const byTicket = state.tickets.verify(password) === user;
  const byPassword = known?.password !== undefined && known.password === hashPassword(password);
  if (known?.enable !== 1 || (!byTicket && !byPassword)) throw new ApiError(401, 'authentication failure');
}

/** Logging in, passwords and realms. */
export const sessionMethods: readonly Method[] = [
  { verb: 'GET', path: '/access/ticket', permission: 'world', handle: () => null },
  {
    verb: 'POST',
    path: '/access/ticket',
    permission: 'world',
    protected: true,
    noToken: true,
    parameters: {
      username: required(text({ maxLength: 64 })),
      password: required(text()),
      'new-format': flag,
      otp: text(),
      path: text({ maxLength: 64 }),
      privs: text({ maxLength: 64 }),
      realm: text({ maxLength: 32 }),
      'tfa-challenge': text(),
    },
    handle: (call) => {
      const { state } = call;
      const name = textOf(call, 'username');
      const user = name.includes('@') ? name : `${name}@${textOf(call, 'realm') || 'pam'}`;
      logIn(state, user, textOf(call, 'password'));
      return {
        username: user,
        ticket: state.tickets.issue(user),
        CSRFPreventionToken: state.tickets.csrf(user),
        cap: capabilities(state, { user }),
        ...(state.nodes.length > 1 ? { clustername: 'simulated' } : {}),
      };
    },
  },
  {
    verb: 'PUT',
    path: '/access/password',
    permission: {
      or: [
        {
          check: ({ who, params }) => {
            if (params['userid'] !== who.user) throw forbidden();
          },
        },
        { path: '/access/groups', privileges: ['User.Modify'] },
      ],
    },
    protected: true,
    noToken: true,
    parameters: {
      userid: required(text({ format: formats.userId, maxLength: 64 })),
      password: required(text({ minLength: 8, maxLength: 64 })),
      'confirmation-password': text({ minLength: 5, maxLength: 64 }),
    },
    handle: (call) => {
      const { state, who } = call;
      const user = textOf(call, 'userid');
      const known = state.store.users[user];
      if (known === undefined) throw new ApiError(500, `no such user ('${user}')`);
      if (who.user !== 'root@pam') {
        const confirmation = textOf(call, 'confirmation-password');
        if (confirmation === '')
          throw badParameters({ 'confirmation-password': 'password is required to modify user' });
        logIn(state, who.user, confirmation);
      }
      known.password = hashPassword(textOf(call, 'password'));
    },
  },
  { verb: 'GET', path: '/access/domains', permission: 'world', handle: () => realms },
];
