import type { IncomingMessage } from 'node:http';
import { nameOf, type Identity } from '../state/access.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import { ApiError } from './api-error.ts';

/** Nobody: who asks for what everybody may ask. */
export const nobody: Identity = { user: '' };

const open = new Set(['GET /access/domains', 'GET /access/ticket', 'POST /access/ticket']);

function refuse(reason: string): ApiError {
  return new ApiError(401, reason);
}

function live(state: ClusterState, user: string): boolean {
  const found = state.store.users[user];
  if (found?.enable !== 1) return false;
  return found.expire === 0 || found.expire > Date.now() / 1000;
}

function byToken(state: ClusterState, authorization: string): Identity {
  const [, user = '', token = '', secret = ''] =
    /^PVEAPIToken=([^\s!]+)!([A-Za-z][A-Za-z0-9.\-_]*)[=:](.+)$/.exec(authorization) ?? [];
  const who = { user, token };
  const found = state.store.tokens[nameOf(who)];
  const expired = found !== undefined && found.expire !== 0 && found.expire <= Date.now() / 1000;
  if (found?.secret !== secret || expired || !live(state, user)) throw refuse('Authentication failed!');
  return who;
}

function decoded(cookie: string): string {
  try {
    return decodeURIComponent(cookie);
  } catch {
    return cookie;
  }
}

function byTicket(state: ClusterState, request: IncomingMessage, path: string): Identity {
  const cookie = /(?:^|;\s*)PVEAuthCookie=([^;]*)/.exec(request.headers.cookie ?? '')?.[1];
  if (cookie === undefined || cookie === '') throw refuse('No ticket');
  const user = state.tickets.verify(decoded(cookie));
  const expired = state.faults.take('expired-ticket', {
    path,
    ...(request.method === undefined ? {} : { method: request.method }),
  });
  if (user === undefined || expired !== undefined || !live(state, user)) throw refuse('Authentication failed!');
  if (request.method !== 'GET') {
    const token = request.headers['csrfpreventiontoken'];
    if (typeof token !== 'string' || !state.tickets.verifyCsrf(token, user)) {
      throw refuse('Permission denied - invalid csrf token');
    }
  }
  return { user };
}

/**
 * Who sends the request: a token's or a ticket's user, or nobody where none is needed.
 * @throws ApiError 401
 */
export function authenticate(state: ClusterState, request: IncomingMessage, path: string): Identity {
  if (open.has(`${request.method ?? ''} ${path}`)) return nobody;
  const authorization = request.headers.authorization;
  if (authorization?.startsWith('PVEAPIToken=') === true) return byToken(state, authorization);
  return byTicket(state, request, path);
}
