import type { Call } from '../call.ts';

/**
 * What to read after a call may or may not have had its effect: paths below `/api2/json`, with the values of the call.
 */
export function rereadOf({ template, at = {}, params = {} }: Call): string[] {
  const kind = /^\/nodes\/\{node\}\/(lxc|qemu)(?=\/|$)/.exec(template)?.[1];
  if (kind !== undefined) {
    const node = `/nodes/${at['node'] ?? ''}`;
    const { vmid = params['vmid'] } = at;
    const rest = template.replace(/^.*\{vmid\}/, '');
    const isCreate = at['vmid'] === undefined;
    const subject = rest === '/clone' ? params['newid'] : vmid;
    const tasks = `${node}/tasks?source=all&vmid=${vmid ?? ''}`;
    return readsOf(isCreate ? '/clone' : rest, `${node}/${kind}/${subject ?? ''}`, tasks);
  }
  const where = template.includes('/content') ? template.replace(/\/content.*$/, '/content') : template;
  return [where.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(at[name] ?? ''))];
}

/** For a call with `rest` behind its guest. */
function readsOf(rest: string, guest: string, tasks: string): string[] {
  const own = (part: string) => [`${guest}${part}`, tasks];
  if (rest === '' || rest.startsWith('/status/')) return own('/status/current');
  if (rest.startsWith('/snapshot')) return own('/snapshot');
  if (rest.startsWith('/firewall/')) return [`${guest}${rest.replace(/\/\{pos\}$/, '')}`];
  if (rest === '/config') return [`${guest}/config`, `${guest}/pending`];
  return own('/config');
}
