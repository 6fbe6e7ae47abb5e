import { ApiError, forbidden } from '../http/api-error.ts';
import type { Permission, PermissionRequest } from './method.ts';

function fill(template: string, params: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{([^}]+)\}/g, (_all, name: string) => written(params[name]));
}

/** The text of a scalar; what is none has none. */
function written(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** Whether the permission lets the request pass. */
function passes(permission: Permission, request: PermissionRequest): boolean {
  try {
    checkPermission(permission, request);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return false;
    throw error;
  }
}

/** @throws ApiError 403 where the permission refuses the request. */
export function checkPermission(permission: Permission, request: PermissionRequest): void {
  const { state, who, params } = request;
  if (permission === 'world' || permission === 'all') return;
  if (permission === 'root') {
    if (who.user !== 'root@pam' || who.token !== undefined) throw forbidden('user != root@pam');
    return;
  }
  if ('check' in permission) {
    permission.check(request);
    return;
  }
  if ('and' in permission) {
    for (const part of permission.and) checkPermission(part, request);
    return;
  }
  if ('or' in permission) {
    if (!permission.or.some((part) => passes(part, request))) throw forbidden();
    return;
  }
  state.access.require(who, fill(permission.path, params), permission.privileges, permission.any);
}
