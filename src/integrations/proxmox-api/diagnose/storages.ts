import { type Finding, missing, ok } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import type { Places } from './requirements.ts';

/** Whether the storages of the guests and of their templates are there, on, and for this content. Errors as `Api.call`. */
export async function checkStorages(client: ProxmoxClient, places: Places): Promise<Finding[]> {
  const { node, storage, templateStorage } = places;
  const known = await client.storages.list(node);
  const uses = [
    { name: storage, key: 'proxmox.storage', content: 'rootdir' },
    { name: templateStorage, key: 'proxmox.template_storage', content: 'vztmpl' },
  ];
  return uses.map(({ name, key, content }) => {
    const subject = `${key} ${name}`;
    const found = known.find((one) => one.storage === name);
    if (found === undefined) {
      const visible = known.map((one) => one.storage).join(', ') || 'none';
      const remedy = `set ${key} to a storage of the node, or grant the token Datastore.Audit on /storage/${name}`;
      return missing(subject, `node ${node} has no such storage that the token may see (${visible})`, remedy);
    }
    const change = (option: string) => [`pvesm set ${name} ${option}`];
    if (found.enabled === false)
      return { ...missing(subject, 'is disabled', 'enable it, on a node:'), commands: change('--disable 0') };
    if (found.active !== true)
      return {
        ...missing(subject, `is not active on ${node}`, 'see why, on the node:'),
        commands: [`pvesm status --storage ${name}`],
      };
    if (!found.content.includes(content)) {
      const all = [...found.content, content].join(',');
      return {
        ...missing(subject, `may not hold ${content}`, 'allow that content, on a node:'),
        commands: change(`--content ${all}`),
      };
    }
    return ok(subject, `${found.type}, active on ${node}`);
  });
}
