import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import { exists } from '../../utils/fs/exists.ts';
import type { Logger } from '../../core/model/logger.ts';
import { attachmentId } from '../../core/model/network.ts';
import type { Network, NetworkAttachment, NetworkReadiness, NetworkRequest } from '../../core/model/network.ts';
import type { SeparateCommands } from '../../host/processes/helpers.ts';
import { SharedLock } from '../../utils/async/shared-lock.ts';
import { parseCniConfig } from './cni-config.ts';
import type { CniConfigList } from './cni-config.ts';
import { CniConfigDirectory } from './cni-config-directory.ts';
import { type AroundCall, CniPlugins } from './cni-plugin.ts';
import { cniArgs } from './cni-request.ts';
import { addressesOf, parseResult, renamedNamespace } from './cni-result.ts';
import { add, check, collectGarbage, del, status } from './cni-verbs.ts';
import type { CniConnection } from './cni-verbs.ts';
import { ConfTemplate } from './conf-template.ts';
import { CniNetworkPool } from './pool/cni-network-pool.ts';
import { NetworkEntries } from './pool/network-entries.ts';
import { atClaim, hostPorts } from './pool/plugin-rules.ts';

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
  /** Networks that are prepared ahead of their pods: how many, and the directories of their records and namespaces. */
  pool: { size: number; records: string; pins: string };
  logger: Logger;
}

/**
 * By how much the priority of plugins is lowered that no pod waits for (nice(2)): a tenth of the processor time of those that one
 * waits for. Not more, since they hold the locks of iptables and of host-local.
 */
const BACKGROUND_NICE = 10;

/** Pod networks by CNI plugins (CNI specification 0.3.0 to 1.1.0). The sandbox provider sets up the loopback. */
export class CniNetwork implements Network {
  readonly #options: CniNetworkOptions;
  readonly #configs: CniConfigDirectory;
  readonly #plugins: CniPlugins;
  readonly pool: CniNetworkPool;
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
    this.pool = this.#makePool(options);
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
      Prepared: this.pool.describe(),
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
    claimed?: NetworkAttachment,
  ): Promise<NetworkAttachment> {
    return this.#lock.shared(() =>
      claimed === undefined ? this.#attach(request, progress, signal) : this.#complete(request, claimed, signal),
    );
  }

  /** Adds what the pod asks of a network that was attached before. */
  async #complete(
    request: NetworkRequest,
    { networks, ...rest }: NetworkAttachment,
    signal: AbortSignal | undefined,
  ): Promise<NetworkAttachment> {
    const completed: NetworkAttachment['networks'] = [];
    for (const { ifName, conflist, result } of networks) {
      const list = atClaim(parseCniConfig(conflist));
      const connection = { list, request, ifName, preparedAs: rest.prepared?.id };
      const before = renamedNamespace(parseResult(result), rest.prepared?.namespace ?? '', request.netns ?? '');
      const last = await add(this.#plugins, connection, signal, before);
      completed.push({ ifName, conflist, result: JSON.stringify(last) });
    }
    return { ...rest, networks: completed };
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
      const result = await this.#add({ list, request, ifName: network.ifName }, signal);
      network.result = JSON.stringify(result ?? {});
      // Kubernetes has one network per pod: the others' addresses are not the pod's.
      if (index === 0) attachment.ips = addressesOf(result);
      if (attachment.ips.length === 0) throw unavailable(`CNI network ${list.name} assigned no address to the pod`);
    }
    return attachment;
  }

  /** ADD; once more when it fails while networks of other pods are being released, whose addresses may have been missing. */
  async #add(connection: CniConnection, signal: AbortSignal | undefined): Promise<unknown> {
    try {
      return await add(this.#plugins, connection, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(await this.pool.released())) throw error;
      await del(this.#plugins, connection, undefined);
      return add(this.#plugins, connection, signal);
    }
  }

  async detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void> {
    const running = this.#checks.get(request.sandboxId);
    running?.end.abort(unavailable('the pod is detached from its networks'));
    await running?.ended;
    // Another pod may map the same ports as soon as this one has stopped.
    const freePorts = async () => {
      if (request.portMappings.length > 0) await this.#del({ request, attachment, part: hostPorts });
    };
    if (await this.pool.take(request, attachment, freePorts)) return;
    const id = attachmentId(request.sandboxId, attachment);
    const isThere = request.netns !== undefined && (await exists(request.netns));
    const netns = isThere ? request.netns : this.pool.namespace(id);
    await this.#del({ request: { ...request, netns }, attachment });
    await this.pool.drop(id);
  }

  /** DEL of all networks, or of a part of their plugins. */
  async #del({
    request,
    attachment: { networks, prepared },
    part = (list) => list,
    plugins = this.#plugins,
  }: {
    request: NetworkRequest;
    attachment: NetworkAttachment;
    part?: (list: CniConfigList) => CniConfigList;
    plugins?: CniPlugins;
  }): Promise<void> {
    const failures: unknown[] = [];
    for (const { ifName, conflist, result } of [...networks].reverse()) {
      const connection = { list: part(parseCniConfig(conflist)), request, ifName, preparedAs: prepared?.id };
      await del(plugins, connection, parseResult(result)).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw unavailable(failures.map(messageOf).join('; '), failures[0]);
  }

  #makePool({ pool, pluginDirs, commands, around, logger }: CniNetworkOptions): CniNetworkPool {
    const plugins = new CniPlugins(pluginDirs, commands, around, BACKGROUND_NICE);
    const { size, records, pins } = pool;
    return new CniNetworkPool({
      size,
      entries: new NetworkEntries({ records, pins }),
      refresh: () => this.#load(),
      attach: ({ id, request, attachment }, lists) =>
        this.#lock.shared(async () => {
          for (const [index, network] of attachment.networks.entries()) {
            const list = lists[index];
            if (list === undefined) continue;
            const { ifName } = network;
            const result = await add(plugins, { list, request, ifName, preparedAs: id });
            network.result = JSON.stringify(result ?? {});
            if (index === 0) attachment.ips = addressesOf(result);
            if (attachment.ips.length === 0) throw unavailable(`CNI network ${list.name} assigned no address`);
          }
        }),
      detach: ({ request, attachment }, netns) => this.#del({ request: { ...request, netns }, attachment, plugins }),
      check: ({ request, attachment }) => this.check(request, attachment),
      logger,
    });
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
      const list = parseCniConfig(conflist);
      const connection = { list, request, ifName, preparedAs: attachment.prepared?.id };
      await check(this.#plugins, connection, parseResult(result), signal);
    }
  }

  collectGarbage(valid: () => Iterable<{ sandboxId: string; attachment: NetworkAttachment }>): Promise<void> {
    return this.#lock.exclusive(async () => {
      await this.pool.load();
      const interfaces = [...valid(), ...this.pool.attachments()].flatMap(({ sandboxId, attachment }) =>
        attachment.networks.map(({ ifName, conflist }) => {
          const containerID = attachmentId(sandboxId, attachment);
          return { network: parseCniConfig(conflist).name, containerID, ifname: ifName };
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
    this.pool.see(lists);
    return lists;
  }
}
