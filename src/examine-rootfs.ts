import { rootfsChooser } from './choose-rootfs.ts';
import { servedHandlers } from './core/config/handlers.ts';
import { rootfsOfHandler } from './core/config/rootfs.ts';
import type { Config } from './core/config/schema.ts';
import { printable } from './core/logging/escape.ts';
import { type Finding, missing, ok } from './core/model/finding.ts';
import { zfsClient } from './integrations/zfs/client.ts';
import { messageOf } from './utils/errors.ts';

/** Which store a start would choose for each handler, and why; changes nothing. Handlers with the same answer share a finding. */
export async function examineRootfs(config: Config): Promise<Finding[]> {
  const choose = rootfsChooser(config, zfsClient());
  const handlers = servedHandlers(config);
  const findings = new Map<string, { finding: Finding; handlers: string[] }>();
  for (const handler of handlers) {
    const finding = await examine(() => choose(handler));
    const key = JSON.stringify(finding);
    const same = findings.get(key) ?? { finding, handlers: [] };
    same.handlers.push(handler);
    findings.set(key, same);
  }
  return [...findings.values()].map(({ finding, handlers: of }) => {
    if (of.length === handlers.length) return finding;
    return { ...finding, subject: `${finding.subject} of ${of.join(', ')}` };
  });
}

async function examine(choose: () => ReturnType<ReturnType<typeof rootfsChooser>>): Promise<Finding> {
  const subject = 'root filesystems';
  try {
    const choice = await choose();
    if (choice.store === 'zfs') return ok(subject, `ZFS in ${choice.dataset}: ${choice.reason}`);
    const { reason, command } = choice;
    if (command === undefined) return ok(subject, `overlayfs: ${reason}`);
    return { ...ok(subject, `overlayfs: ${reason}; "${command}" and a restart of the server enable ZFS`) };
  } catch (error) {
    const message = messageOf(error);
    const remedy = message.lastIndexOf('; ');
    return missing(subject, message.slice(0, remedy), message.slice(remedy + 2));
  }
}

/**
 * What a start would choose, with its dataset and why, as comments by the paths of the keys that ask for it: `rootfs.store`, and
 * that of each handler which overrides it.
 */
export async function rootfsNotes(config: Config): Promise<ReadonlyMap<string, string>> {
  const choose = rootfsChooser(config, zfsClient());
  const notes = new Map<string, string>();
  for (const handler of servedHandlers(config)) {
    const text = await choose(handler).then(
      (choice) => (choice.store === 'zfs' ? `zfs in ${choice.dataset}` : choice.store) + ` (${choice.reason})`,
      (error: unknown) => `none (${printable(messageOf(error))})`,
    );
    notes.set(`${rootfsOfHandler(config, handler).table}.store`, `On this node: ${text}`);
  }
  return notes;
}
