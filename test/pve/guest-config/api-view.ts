import type { GuestConfig } from './model.ts';

/**
 * The guest's configuration as GET `config` answers it: with the pending changes applied, as the API does unless it is
 * asked for `current`. Pending raw keys are not shown.
 */
export function apiView(config: GuestConfig, view: 'current' | 'pending'): Record<string, unknown> {
  const options: Record<string, unknown> = { ...config.options };
  let { description } = config;
  if (view === 'pending') {
    for (const key of (config.pending.delete ?? '').split(/[,;\s]+/)) {
      const name = key.replace(/^!/, '');
      if (name === 'description') description = undefined;
      else Reflect.deleteProperty(options, name);
    }
    Object.assign(options, config.pending.options);
    description = config.pending.description ?? description;
  }
  return {
    ...options,
    digest: config.digest,
    ...(description !== undefined && { description }),
    ...(config.lxc.length > 0 && { lxc: config.lxc }),
  };
}
