import {
  Container,
  ContainerAdjustment,
  Field,
  Hooks,
  LinuxContainer,
  LinuxContainerAdjustment,
  LinuxResources,
} from '../../../../api/gen/nri.ts';
import { hookNames } from '../../../core/model/container-devices.ts';
import { collectResources } from './collect-resources.ts';
import type { Owners } from './owners.ts';
import { splitChanges } from './removal.ts';

/** A list in an adjustment, and the same in the container. */
interface Lists<T> {
  field: Field;
  keyOf: (entry: T) => string;
  /** The collected changes. */
  collected: T[];
  /** The container as the next plugin is shown it. */
  shown: T[];
}

/**
 * Collects what plugins want to change about a container, one after the other. Each is shown the container with the changes of
 * those before it, and none may change what another one has, unless it removes that first.
 */
export class AdjustmentCollector {
  /** The container for the next plugin. */
  readonly container: Container;
  readonly adjustment = ContainerAdjustment.create({
    hooks: Hooks.create({}),
    linux: LinuxContainerAdjustment.create({ resources: LinuxResources.create({}) }),
  });
  readonly #owners: Owners;
  readonly #hooks: Hooks;
  readonly #linux: LinuxContainerAdjustment;
  readonly #resources: LinuxResources;
  readonly #shownLinux: LinuxContainer;
  readonly #shownHooks: Hooks;
  readonly #shownResources: LinuxResources;

  constructor(container: Container, owners: Owners) {
    this.container = Container.decode(Container.encode(container).finish());
    this.#owners = owners;
    this.#hooks = this.adjustment.hooks ??= Hooks.create({});
    this.#linux = this.adjustment.linux ??= LinuxContainerAdjustment.create({});
    this.#resources = this.#linux.resources ??= LinuxResources.create({});
    this.#shownLinux = this.container.linux ??= LinuxContainer.create({});
    this.#shownHooks = this.container.hooks ??= Hooks.create({});
    this.#shownResources = this.#shownLinux.resources ??= LinuxResources.create({});
  }

  /** Adds what a plugin wants. @throws CriError when another one wants the same. */
  add(wanted: ContainerAdjustment, plugin: string): void {
    const { adjustment, container } = this;
    const { id } = container;
    container.annotations = this.#map(Field.Annotations, wanted.annotations, plugin, {
      collected: adjustment.annotations,
      shown: container.annotations,
    });
    [adjustment.mounts, container.mounts] = this.#list(wanted.mounts, plugin, {
      field: Field.Mounts,
      keyOf: ({ destination }) => destination,
      collected: adjustment.mounts,
      shown: container.mounts,
    });
    this.#env(wanted, plugin);
    this.#args(wanted.args, plugin);
    for (const name of hookNames) {
      const hooks = wanted.hooks?.[name] ?? [];
      if (hooks.length > 0) this.#owners.share(id, Field.OciHooks, plugin);
      this.#hooks[name].push(...hooks);
      this.#shownHooks[name].push(...hooks);
    }
    for (const limit of wanted.rlimits) {
      this.#owners.claim(id, Field.Rlimits, plugin, limit.type);
      adjustment.rlimits.push(limit);
      container.rlimits = [...container.rlimits.filter(({ type }) => type !== limit.type), limit];
    }
    for (const device of wanted.CDIDevices) {
      this.#owners.claim(id, Field.CdiDevices, plugin, device.name);
      adjustment.CDIDevices.push(device);
    }
    if (wanted.linux !== undefined) this.#addLinux(wanted.linux, plugin);
  }

  #addLinux(wanted: LinuxContainerAdjustment, plugin: string): void {
    const { id } = this.container;
    const [linux, shown] = [this.#linux, this.#shownLinux];
    [linux.devices, shown.devices] = this.#list(wanted.devices, plugin, {
      field: Field.Devices,
      keyOf: ({ path }) => path,
      collected: linux.devices,
      shown: shown.devices,
    });
    [linux.namespaces, shown.namespaces] = this.#list(wanted.namespaces, plugin, {
      field: Field.Namespace,
      keyOf: ({ type }) => type,
      collected: linux.namespaces,
      shown: shown.namespaces,
    });
    shown.sysctl = this.#map(Field.Sysctl, wanted.sysctl, plugin, { collected: linux.sysctl, shown: shown.sysctl });
    const targets = [this.#resources, this.#shownResources];
    collectResources(wanted.resources, targets, this.#owners, { containerId: id, plugin });
    this.#one(Field.CgroupsPath, plugin, wanted.cgroupsPath || undefined, (path) => {
      linux.cgroupsPath = path;
    });
    this.#one(Field.OomScoreAdj, plugin, wanted.oomScoreAdj, (score) => {
      linux.oomScoreAdj = shown.oomScoreAdj = score;
    });
    this.#one(Field.IoPriority, plugin, wanted.ioPriority, (priority) => {
      linux.ioPriority = shown.ioPriority = priority;
    });
    this.#one(Field.SeccompPolicy, plugin, wanted.seccompPolicy, (policy) => {
      linux.seccompPolicy = shown.seccompPolicy = policy;
    });
    this.#one(Field.LinuxSched, plugin, wanted.scheduler, (scheduler) => {
      linux.scheduler = shown.scheduler = scheduler;
    });
  }

  #one<T>(field: Field, plugin: string, value: T | undefined, set: (value: T) => void): void {
    if (value === undefined) return;
    this.#owners.claim(this.container.id, field, plugin);
    set(value);
  }

  /** An empty first argument means that the arguments of another plugin may be replaced. */
  #args(args: readonly string[], plugin: string): void {
    if (args.length === 0) return;
    const isReplacement = args[0] === '';
    if (isReplacement) this.#owners.release(this.container.id, Field.Args);
    this.#owners.claim(this.container.id, Field.Args, plugin);
    this.adjustment.args = this.container.args = args.slice(isReplacement ? 1 : 0);
  }

  #env({ env }: ContainerAdjustment, plugin: string): void {
    const shown = this.container.env.map((text) => {
      const at = text.indexOf('=');
      return at < 0 ? { key: text, value: '' } : { key: text.slice(0, at), value: text.slice(at + 1) };
    });
    const [collected, seen] = this.#list(env, plugin, {
      field: Field.Env,
      keyOf: ({ key }) => key,
      collected: this.adjustment.env,
      shown,
    });
    this.adjustment.env = collected;
    this.container.env = seen.map(({ key, value }) => `${key}=${value}`);
  }

  /** Changes a list; returns the collected changes and what is shown. */
  #list<T>(wanted: readonly T[], plugin: string, { field, keyOf, collected, shown }: Lists<T>): [T[], T[]] {
    if (wanted.length === 0) return [collected, shown];
    const { id } = this.container;
    const { removed, added } = splitChanges(wanted, keyOf);
    for (const key of removed.keys()) this.#owners.release(id, field, key);
    for (const { key } of added) this.#owners.claim(id, field, plugin, key);
    const gone = new Set([...removed.keys(), ...added.map(({ key }) => key)]);
    const stays = (entry: T) => !gone.has(keyOf(entry).replace(/^-/, ''));
    const entries = added.map(({ entry }) => entry);
    return [
      [...collected.filter(stays), ...removed.values(), ...entries],
      [...shown.filter(stays), ...entries],
    ];
  }

  /** Changes `collected` in place; returns what is shown. */
  #map(
    field: Field,
    wanted: Record<string, string>,
    plugin: string,
    { collected, shown }: { collected: Record<string, string>; shown: Record<string, string> },
  ): Record<string, string> {
    const now = new Map(Object.entries(shown));
    const { removed, added } = splitChanges(Object.entries(wanted), ([key]) => key);
    for (const [key] of removed) {
      this.#owners.release(this.container.id, field, key);
      Reflect.deleteProperty(collected, key);
      collected[`-${key}`] = '';
      now.delete(key);
    }
    for (const { key, entry } of added) {
      this.#owners.claim(this.container.id, field, plugin, key);
      collected[key] = entry[1];
      now.set(key, entry[1]);
    }
    return Object.fromEntries(now);
  }
}
