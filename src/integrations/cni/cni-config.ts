import { isTooDeep, MAX_NESTING } from '../../utils/json.ts';

/** One plugin's part of a list, as in the file. */
export interface CniPluginConfig {
  type: string;
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A network configuration list (CNI specification 1.1, section 1). */
export interface CniConfigList {
  /** The version that the plugins are called with: the highest one that the file and this runtime know. */
  cniVersion: CniVersion;
  name: string;
  disableCheck: boolean;
  disableGC: boolean;
  /** Whether plugins in the directory named after the network are ignored. */
  loadOnlyInlinedPlugins: boolean;
  plugins: CniPluginConfig[];
}

/** Supported specification versions, the oldest first. */
const versions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof versions)[number];

/** Whether a list is used in `version` or a later one. */
export function speaks(list: CniConfigList, version: CniVersion): boolean {
  return versions.indexOf(list.cniVersion) >= versions.indexOf(version);
}

/**
 * Parses a configuration list, or a single plugin's configuration, which becomes a list of one. A list may have no
 * plugins, since they may be in the directory named after the network.
 * @throws Error with the reason.
 */
export function parseCniConfig(text: string): CniConfigList {
  const document = parseJson(text);
  if (!isRecord(document)) throw new Error('is not a JSON object');
  const { name } = document;
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw new Error('"name" must start with a letter or digit, followed by letters, digits, "_", "." and "-"');
  }
  const isSingle = !('plugins' in document) && 'type' in document;
  const plugins: unknown = isSingle ? [document] : (document.plugins ?? []);
  if (!Array.isArray(plugins)) throw new Error('"plugins" must be a list');
  return {
    cniVersion: chooseVersion(document),
    name,
    disableCheck: flag(document, 'disableCheck'),
    disableGC: flag(document, 'disableGC'),
    loadOnlyInlinedPlugins: isSingle || flag(document, 'loadOnlyInlinedPlugins'),
    plugins: plugins.map(checkPlugin),
  };
}

/** The highest supported one of `cniVersion` and `cniVersions` ("Version selection"). */
function chooseVersion({ cniVersion = '0.3.1', cniVersions = [] }: Record<string, unknown>): CniVersion {
  if (!Array.isArray(cniVersions)) throw new Error('"cniVersions" must be a list of versions');
  const offered: unknown[] = [cniVersion, ...(cniVersions as unknown[])];
  const chosen = versions.findLast((version) => offered.includes(version));
  if (chosen !== undefined) return chosen;
  const shown = offered.slice(0, versions.length).map(show).join(', ');
  throw new Error(`"cniVersion" ${shown} must be one of ${versions.join(', ')}`);
}

/** A version for a message: only texts can be one. */
function show(version: unknown): string {
  return typeof version === 'string' ? JSON.stringify(version.slice(0, 40)) : `(${typeof version})`;
}

/** The specification requires booleans; files in use also have them as strings. */
function flag(document: Record<string, unknown>, key: string): boolean {
  const value = document[key] ?? false;
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Error(`${JSON.stringify(key)} must be true or false`);
}

/** One plugin's configuration from its own file. @throws Error with the reason. */
export function parseCniPlugin(text: string): CniPluginConfig {
  return checkPlugin(parseJson(text));
}

function checkPlugin(plugin: unknown): CniPluginConfig {
  if (!isRecord(plugin) || typeof plugin.type !== 'string' || !/^[A-Za-z0-9][\w.-]*$/.test(plugin.type)) {
    throw new Error('every plugin requires a "type", the file name of a program');
  }
  if (plugin.capabilities !== undefined && !isRecord(plugin.capabilities)) {
    throw new Error(`"capabilities" of plugin ${plugin.type} must be an object`);
  }
  return plugin as CniPluginConfig;
}

/**
 * A JSON value that can be written out again, for a record or a plugin's input.
 * @throws Error for invalid JSON, and for deep nesting.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (isTooDeep(value)) throw new Error(`is nested deeper than ${MAX_NESTING} levels`);
  return value;
}

/** A JSON object, not null or a list. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
