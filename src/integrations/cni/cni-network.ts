import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import { exists } from '../../utils/fs/exists.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { Network, NetworkAttachment, NetworkReadiness, NetworkRequest } from '../../core/model/network.ts';
import type { SeparateCommands } from '../../host/processes/helpers.ts';
import { SharedLock } from '../../utils/async/shared-lock.ts';
import { parseCniConfig } from './cni-config.ts';
import { CniConfigDirectory } from './cni-config-directory.ts';
import { type AroundCall, CniPlugins } from './cni-plugin.ts';
import { cniArgs } from './cni-request.ts';
import { addressesOf } from './cni-result.ts';
import { add, check, collectGarbage, del, status } from './cni-verbs.ts';
import { ConfTemplate } from './conf-template.ts';

export interface CniNetworkOptions {
  /** Directory of `*.conflist`, `*.conf` and `*.json`. */
  configDir: string;
  /** How many of them each pod is attached to, the first ones by file name; 0 for all. */
  maxNetworks: number;
  /** Template of a configuration that is written when the pod CIDRs become known; undefined for none. */
  template: string | undefined;
  /** Search path of plugins, in order. */
  pluginDirs: readonly string[];
  commands: SeparateCommands;
  /** What is to happen around each call of a plugin, such as measuring it. */
  around?: AroundCall;
  logger: Logger;
}

/** Pod networks by CNI plugins (CNI specification 0.3.0 to 1.1.0). The sandbox provider sets up the loopback. */
export class CniNetwork implements Network {
  readonly #options: CniNetworkOptions;
  readonly #configs: CniConfigDirectory;
  readonly #plugins: CniPlugins;
  readonly #template: ConfTemplate | undefined;
  /** GC must not remove what a concurrent ADD has just created. */
  readonly #lock = new SharedLock();
  /** By pod. Its DEL ends them: calls for one container must not overlap (CNI specification, section 3). */
  readonly #checks = new Map<string, { end: AbortController; ended: Promise<void> }>();
  #readiness: Promise<NetworkReadiness> | undefined;

  constructor(options: CniNetworkOptions) {
    const { configDir, template, logger } = options;
    this.#options = options;
    this.#configs = new CniConfigDirectory(configDir, options.maxNetworks);
    this.#plugins = new CniPlugins(options.pluginDirs, options.commands, options.around);
    this.#template = template === undefined ? undefined : new ConfTemplate({ template, configDir, logger });
  }

  readiness(): Promise<NetworkReadiness> {
    // The kubelet calls this every few seconds: concurrent calls share one result.
    this.#readiness ??= this.#examine().finally(() => (this.#readiness = undefined));
    return this.#readiness;
  }

  async #examine(): Promise<NetworkReadiness> {
    try {
      for (const list of await this.#load()) await status(this.#plugins, list);
      return { ready: true, reason: '', message: '' };
    } catch (error) {
      return { ready: false, reason: 'NetworkPluginNotReady', message: messageOf(error) };
    }
  }

  /** By the names that containerd has in `cniconfig` of its verbose Status. */
  async describe(): Promise<Record<string, unknown>> {
    const lists = await this.#configs.load().catch(() => []);
    return {
      PluginDirs: this.#options.pluginDirs,
      PluginConfDir: this.#options.configDir,
      PluginMaxConfNum: this.#options.maxNetworks,
      Prefix: 'eth',
      Networks: lists.map((list, index) => ({
        IFName: `eth${String(index)}`,
        Config: {
          Name: list.name,
          CNIVersion: list.cniVersion,
          Plugins: list.plugins.map((plugin) => ({ Network: plugin })),
        },
      })),
    };
  }

  attach(
    request: NetworkRequest,
    progress: (soFar: NetworkAttachment) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<NetworkAttachment> {
    return this.#lock.shared(() => this.#attach(request, progress, signal));
  }

  async #attach(
    request: NetworkRequest,
    progress: (soFar: NetworkAttachment) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<NetworkAttachment> {
    if (request.netns === undefined) {
      throw new CriError(
        StatusCode.INTERNAL,
        'CNI requires a network namespace of this host, which the pod does not have',
      );
    }
    cniArgs(request);
    const attachment: NetworkAttachment = { ips: [], networks: [] };
    for (const [index, list] of (await this.#load()).entries()) {
      const network = { ifName: `eth${String(index)}`, conflist: JSON.stringify(list), result: '' };
      attachment.networks.push(network);
      await progress(structuredClone(attachment));
      const result = await add(this.#plugins, { list, request, ifName: network.ifName }, signal);
      network.result = JSON.stringify(result ?? {});
      // Kubernetes has one network per pod: the others' addresses are not the pod's.
      if (index === 0) attachment.ips = addressesOf(result);
      if (attachment.ips.length === 0) throw unavailable(`CNI network ${list.name} assigned no address to the pod`);
    }
    return attachment;
  }

  async detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void> {
    const running = this.#checks.get(request.sandboxId);
    running?.end.abort(unavailable('the pod is detached from its networks'));
    await running?.ended;
    const netns = request.netns !== undefined && (await exists(request.netns)) ? request.netns : undefined;
    const failures: unknown[] = [];
    for (const { ifName, conflist, result } of [...attachment.networks].reverse()) {
      const connection = { list: parseCniConfig(conflist), request: { ...request, netns }, ifName };
      await del(this.#plugins, connection, parseResult(result)).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw unavailable(failures.map(messageOf).join('; '), failures[0]);
  }

  async check(request: NetworkRequest, attachment: NetworkAttachment): Promise<void> {
    const end = new AbortController();
    const work = this.#check(request, attachment, end.signal);
    const running = { end, ended: work.catch(() => undefined) };
    this.#checks.set(request.sandboxId, running);
    try {
      await work;
    } finally {
      if (this.#checks.get(request.sandboxId) === running) this.#checks.delete(request.sandboxId);
    }
  }

  async #check(request: NetworkRequest, attachment: NetworkAttachment, signal: AbortSignal): Promise<void> {
    for (const { ifName, conflist, result } of attachment.networks) {
      await check(this.#plugins, { list: parseCniConfig(conflist), request, ifName }, parseResult(result), signal);
    }
  }

  collectGarbage(valid: () => Iterable<{ sandboxId: string; attachment: NetworkAttachment }>): Promise<void> {
    return this.#lock.exclusive(async () => {
      const interfaces = [...valid()].flatMap(({ sandboxId, attachment }) =>
        attachment.networks.map(({ ifName, conflist }) => {
          return { network: parseCniConfig(conflist).name, containerID: sandboxId, ifname: ifName };
        }),
      );
      for (const list of await this.#configs.load()) {
        const own = interfaces.filter(({ network }) => network === list.name);
        await collectGarbage(
          this.#plugins,
          list,
          own.map(({ containerID, ifname }) => ({ containerID, ifname })),
        );
      }
    });
  }

  async setPodRanges(ranges: readonly string[]): Promise<void> {
    await this.#template?.apply(ranges);
  }

  /** The configurations in use, whose plugins all exist. */
  async #load() {
    const lists = await this.#configs.load();
    const types = new Set(lists.flatMap(({ plugins }) => plugins.map(({ type }) => type)));
    await Promise.all([...types].map((type) => this.#plugins.find(type)));
    return lists;
  }
}

function parseResult(text: string): unknown {
  return text === '' ? undefined : JSON.parse(text);
}
