import { access } from 'node:fs/promises';
import { messageOf, unavailable } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { Network, NetworkAttachment, NetworkRequest } from '../../core/model/network.ts';
import { CniConfigFolder, parseCniConfig } from './cni-config.ts';
import type { CniConfigList } from './cni-config.ts';
import { CniPlugins } from './cni-plugin.ts';
import type { CniCall } from './cni-plugin.ts';
import { cniArgs, pluginInput, podInterface } from './cni-request.ts';
import { addressesOf } from './cni-result.ts';

export interface CniNetworkOptions {
  /** Folder of `*.conflist`, `*.conf` and `*.json`; the first by name is used. */
  configDir: string;
  /** Where plugins are looked for, in order. */
  pluginDirs: readonly string[];
  logger: Logger;
}

/** Pod networks by CNI plugins (CNI specification 0.3.0 to 1.1.0). The loopback is the sandbox provider's business. */
export class CniNetwork implements Network {
  readonly #configs: CniConfigFolder;
  readonly #plugins: CniPlugins;
  readonly #logger: Logger;

  constructor(options: CniNetworkOptions) {
    this.#configs = new CniConfigFolder(options.configDir);
    this.#plugins = new CniPlugins(options.pluginDirs);
    this.#logger = options.logger;
  }

  async readiness(): Promise<{ ready: boolean; reason: string; message: string }> {
    try {
      const { plugins } = await this.#configs.load();
      await Promise.all(plugins.map(({ type }) => this.#plugins.find(type)));
      return { ready: true, reason: '', message: '' };
    } catch (error) {
      return { ready: false, reason: 'NetworkPluginNotReady', message: messageOf(error) };
    }
  }

  async attach(
    request: NetworkRequest & { netns: string },
    started: (intent: NetworkAttachment) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<NetworkAttachment> {
    const list = await this.#configs.load();
    const args = cniArgs(request);
    await Promise.all(list.plugins.map(({ type }) => this.#plugins.find(type)));
    const conflist = JSON.stringify(list);
    const intent: NetworkAttachment = { ips: [], networks: [{ ifName: podInterface, conflist, result: '' }] };
    await started(intent);
    try {
      const result = await this.#add(list, request, args, signal);
      const ips = addressesOf(result);
      if (ips.length === 0) throw unavailable(`CNI network ${list.name} gave the pod no address`);
      return { ips, networks: [{ ifName: podInterface, conflist, result: JSON.stringify(result) }] };
    } catch (error) {
      await this.detach(request, intent).catch((failure: unknown) => {
        this.#logger.warn('Cannot undo a failed CNI ADD', { sandbox: request.sandboxId, error: messageOf(failure) });
      });
      throw error;
    }
  }

  async detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void> {
    const args = cniArgs(request);
    const netns = request.netns !== undefined && (await exists(request.netns)) ? request.netns : undefined;
    for (const { ifName, conflist, result } of [...attachment.networks].reverse()) {
      const list = parseCniConfig(conflist);
      const prevResult: unknown = result === '' ? undefined : JSON.parse(result);
      const call: CniCall = { command: 'DEL', containerId: request.sandboxId, netns, ifName, args };
      const failures: unknown[] = [];
      // All are called whatever the others say, so that one broken plugin does not keep the rest's resources.
      for (const plugin of [...list.plugins].reverse()) {
        const input = pluginInput(list, plugin, request, prevResult);
        await this.#plugins.call(plugin.type, input, call).catch((error: unknown) => failures.push(error));
      }
      if (failures.length > 0) {
        throw unavailable(
          `cannot detach the pod from CNI network ${list.name}: ${failures.map(messageOf).join('; ')}`,
          failures[0],
        );
      }
    }
  }

  async #add(
    list: CniConfigList,
    request: NetworkRequest & { netns: string },
    args: string,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const call: CniCall = {
      command: 'ADD',
      containerId: request.sandboxId,
      netns: request.netns,
      ifName: podInterface,
      args,
    };
    let result: unknown;
    for (const plugin of list.plugins) {
      signal?.throwIfAborted();
      const text = await this.#plugins.call(plugin.type, pluginInput(list, plugin, request, result), call);
      // A plugin that changes nothing may print nothing.
      if (text.trim() === '') continue;
      try {
        result = JSON.parse(text);
      } catch (cause) {
        throw unavailable(`CNI plugin ${plugin.type} printed no JSON result`, cause);
      }
    }
    return result;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
