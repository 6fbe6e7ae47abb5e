import { type Finding, missing, ok, warning } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import type { Storage } from '../endpoints/storage.ts';
import { DIRECTORY_TYPES } from '../storage-directory.ts';
import type { Places } from './requirements.ts';

/**
 * Whether the storages of the guests and of their templates are there, on, and for this content, whether one can hold the
 * guests' hookscript, and which can hold BFC files. Errors as `Api.call`.
 */
export async function checkStorages(client: ProxmoxClient, places: Places): Promise<Finding[]> {
  const { node, storage, templateStorage } = places;
  const known = await client.storages.list(node);
  const allow = contentCommands(known);
  const uses = [
    { name: storage, key: 'proxmox.storage', content: 'rootdir' },
    { name: templateStorage, key: 'proxmox.template_storage', content: 'vztmpl' },
  ];
  const findings = uses.map(({ name, key, content }) => {
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
      return {
        ...missing(subject, `may not hold ${content}`, 'allow that content, on a node:'),
        commands: [allow(name, content)],
      };
    }
    return ok(subject, `${found.type}, active on ${node}`);
  });
  return known.length === 0 ? findings : [...findings, checkSnippets(known, places, allow), bfcFiles(known)];
}

/** From which storages BFC files can be pulled. */
function bfcFiles(known: readonly Storage[]): Finding {
  const fit = known.filter(({ type, active }) => active === true && DIRECTORY_TYPES.includes(type));
  const names = fit.map(({ storage }) => storage).join(', ') || 'none';
  const right = 'Datastore.Audit on /storage/STORAGE shows the token another';
  return ok('Proxmox BFC files', `bfc://STORAGE:PATH can name files on ${names}; ${right}`);
}

type Allow = (storage: string, content: string) => string;

/** Lines that each allow one more content on a storage, and keep what an earlier line allows. */
function contentCommands(known: readonly Storage[]): Allow {
  const contents = new Map(known.map(({ storage, content }) => [storage, [...content]]));
  return (storage, content) => {
    const all = contents.get(storage) ?? [];
    all.push(content);
    return `pvesm set ${storage} --content ${all.join(',')}`;
  };
}

/** A hookscript has the reason for a refused start in the task log, and lies on a storage for snippets. */
function checkSnippets(known: readonly Storage[], { node, templateStorage }: Places, allow: Allow): Finding {
  const subject = 'Proxmox snippets';
  const active = known.filter((one) => one.active === true);
  const found = active.find(({ content }) => content.includes('snippets'));
  if (found !== undefined) return ok(subject, `on storage ${found.storage}`);
  const directories = active.filter(({ type }) => DIRECTORY_TYPES.includes(type));
  const fit = directories.find(({ storage }) => storage === templateStorage) ?? directories[0];
  const without = `no active storage of ${node} may hold them: a refused start has no reason in its task log`;
  const remedy = 'allow them on a storage, on a node:';
  const commands =
    fit === undefined
      ? ['pvesm add dir snippets --path /var/lib/snippets --content snippets']
      : [allow(fit.storage, 'snippets')];
  return { ...warning(subject, without, remedy), commands };
}
