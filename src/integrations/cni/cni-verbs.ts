import { unavailable } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import type { NetworkRequest } from '../../core/model/network.ts';
import { parseJson, speaks } from './cni-config.ts';
import type { CniConfigList } from './cni-config.ts';
import type { CniAttachment, CniPlugins } from './cni-plugin.ts';
import { cniArgs, NO_POD, pluginInput, runtimeConfig } from './cni-request.ts';

/** A network, a pod, and the interface between them. */
export interface CniConnection {
  list: CniConfigList;
  request: NetworkRequest;
  ifName: string;
  /** The container id of an attachment that was made ahead of its pod: its plugins are not told of any pod. */
  preparedAs?: string | undefined;
}

/**
 * ADD: the plugins in the list's order, each with the result so far, which begins with `prevResult`. @returns the last
 * result. When `signal` fires the running plugin is killed.
 * @throws CriError UNAVAILABLE, the signal's reason; completed work stays, for {@link del} to roll back.
 */
export async function add(
  plugins: CniPlugins,
  connection: CniConnection,
  signal?: AbortSignal,
  prevResult?: unknown,
): Promise<unknown> {
  const { list, request } = connection;
  for (const plugin of list.plugins) {
    signal?.throwIfAborted();
    const input = pluginInput(list, plugin, { prevResult, runtimeConfig: runtimeConfig(plugin, request) });
    const call = { command: 'ADD' as const, attachment: attachmentOf(connection) };
    const text = await plugins.call(plugin.type, input, call, signal);
    // A plugin that changes nothing may print nothing.
    if (text.trim() === '') continue;
    try {
      prevResult = parseJson(text);
    } catch (cause) {
      const problem = cause instanceof SyntaxError ? 'is not JSON' : messageOf(cause);
      throw unavailable(`the result of CNI plugin ${plugin.type} ${problem}`, cause);
    }
  }
  return prevResult;
}

/**
 * DEL: the plugins in reverse order. All are called even when some fail, so that one broken plugin does not leak the
 * resources of the others. @throws CriError UNAVAILABLE with every plugin's error.
 */
export async function del(plugins: CniPlugins, connection: CniConnection, result: unknown): Promise<void> {
  const { list, request } = connection;
  const failures: unknown[] = [];
  // Earlier versions have no prevResult in DEL.
  const prevResult = speaks(list, '0.4.0') ? result : undefined;
  for (const plugin of [...list.plugins].reverse()) {
    const input = pluginInput(list, plugin, { prevResult, runtimeConfig: runtimeConfig(plugin, request) });
    await plugins
      .call(plugin.type, input, { command: 'DEL', attachment: attachmentOf(connection) })
      .catch((error: unknown) => failures.push(error));
  }
  if (failures.length === 0) return;
  const words = failures.map(messageOf).join('; ');
  throw unavailable(`cannot detach the pod from CNI network ${list.name}: ${words}`, failures[0]);
}

/**
 * CHECK, where the version supports it and the list does not disable it. When `signal` fires the running plugin is
 * killed. @throws CriError UNAVAILABLE with the first plugin's error; the signal's reason.
 */
export async function check(
  plugins: CniPlugins,
  connection: CniConnection,
  prevResult: unknown,
  signal: AbortSignal,
): Promise<void> {
  const { list, request } = connection;
  if (!speaks(list, '0.4.0') || list.disableCheck) return;
  for (const plugin of list.plugins) {
    signal.throwIfAborted();
    const input = pluginInput(list, plugin, { prevResult, runtimeConfig: runtimeConfig(plugin, request) });
    await plugins.call(plugin.type, input, { command: 'CHECK', attachment: attachmentOf(connection) }, signal);
  }
}

/**
 * STATUS, where the version supports it. @throws CriError UNAVAILABLE with the first plugin's reason why it is not
 * ready.
 */
export async function status(plugins: CniPlugins, list: CniConfigList): Promise<void> {
  if (!speaks(list, '1.1.0')) return;
  for (const plugin of list.plugins) await plugins.call(plugin.type, pluginInput(list, plugin), { command: 'STATUS' });
}

/**
 * GC, where the version supports it and the list does not disable it: every plugin releases what belongs to none of
 * `valid`.
 * @throws CriError UNAVAILABLE with every plugin's error.
 */
export async function collectGarbage(
  plugins: CniPlugins,
  list: CniConfigList,
  valid: readonly { containerID: string; ifname: string }[],
): Promise<void> {
  if (!speaks(list, '1.1.0') || list.disableGC) return;
  const failures: unknown[] = [];
  for (const plugin of list.plugins) {
    const input = { ...pluginInput(list, plugin), 'cni.dev/valid-attachments': valid };
    await plugins.call(plugin.type, input, { command: 'GC' }).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw unavailable(failures.map(messageOf).join('; '), failures[0]);
}

function attachmentOf({ request, ifName, preparedAs }: CniConnection): CniAttachment {
  const { netns } = request;
  if (preparedAs !== undefined) return { containerId: preparedAs, netns, ifName, args: NO_POD };
  return { containerId: request.sandboxId, netns, ifName, args: cniArgs(request) };
}
