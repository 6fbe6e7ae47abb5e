import { Field } from '../../../api/gen/nri.ts';
import type { PluginPod } from '../../core/model/plugins.ts';
import type { ContainerRecord } from '../../core/model/container.ts';
import type { Owners } from './adjust/owners.ts';
import { parse } from 'yaml';

/** What plugins must not change, and which must be there; names are those of the configuration. */
export interface ValidatorRules {
  enable: boolean;
  reject_oci_hook_adjustment: boolean;
  reject_runtime_default_seccomp_adjustment: boolean;
  reject_unconfined_seccomp_adjustment: boolean;
  reject_custom_seccomp_adjustment: boolean;
  reject_namespace_adjustment: boolean;
  reject_sysctl_adjustment: boolean;
  required_plugins: readonly string[];
  tolerate_missing_plugins_annotation: string;
}

/** Names further plugins that must be there for a pod, or for one of its containers. */
const REQUIRED_ANNOTATION = 'required-plugins.noderesource.dev';

/** A container that plugins have adjusted. */
export interface Adjusted {
  pod: PluginPod;
  container: ContainerRecord;
  owners: Owners;
  /** Names of the plugins that were asked, without their index. */
  asked: readonly string[];
}

/** The reason why the rules refuse a container; undefined when they do not. */
export function refusal(rules: ValidatorRules, adjusted: Adjusted): string | undefined {
  if (!rules.enable) return undefined;
  return refusedChange(rules, adjusted) ?? missingPlugins(rules, adjusted);
}

function refusedChange(rules: ValidatorRules, { container, owners }: Adjusted): string | undefined {
  const changed = (field: Field, isRejected: boolean, what: string) => {
    const plugins = [...new Set(owners.owners(container.id, field).values())];
    return isRejected && plugins.length > 0 ? `NRI plugins must not change ${what}: ${plugins.join(', ')}` : undefined;
  };
  const { type } = container.spec.security.seccomp;
  const isSeccompRejected = {
    'runtime-default': rules.reject_runtime_default_seccomp_adjustment,
    unconfined: rules.reject_unconfined_seccomp_adjustment,
    file: rules.reject_custom_seccomp_adjustment,
  }[type];
  return (
    changed(Field.OciHooks, rules.reject_oci_hook_adjustment, 'OCI hooks') ??
    changed(Field.SeccompPolicy, isSeccompRejected, `the seccomp filter of a container with the profile ${type}`) ??
    changed(Field.Namespace, rules.reject_namespace_adjustment, 'namespaces') ??
    changed(Field.Sysctl, rules.reject_sysctl_adjustment, 'sysctls')
  );
}

function missingPlugins(rules: ValidatorRules, { pod, container, asked }: Adjusted): string | undefined {
  const { annotations } = pod.record.spec;
  const { name } = container.spec.metadata;
  const tolerated = effective(annotations, rules.tolerate_missing_plugins_annotation, name);
  if (tolerated === 'true') return undefined;
  const text = effective(annotations, REQUIRED_ANNOTATION, name);
  const more = text === undefined ? [] : namesIn(text);
  if (more === undefined) return `the annotation ${REQUIRED_ANNOTATION} must be a list of strings in YAML`;
  const missing = [...rules.required_plugins, ...more].filter((plugin) => !asked.includes(plugin));
  return missing.length === 0 ? undefined : `NRI plugins that are required are not connected: ${missing.join(', ')}`;
}

/** An annotation of a container, else of its pod. */
function effective(annotations: Record<string, string>, key: string, container: string): string | undefined {
  if (key === '') return undefined;
  return annotations[`${key}/container.${container}`] ?? annotations[`${key}/pod`] ?? annotations[key];
}

/** A list in YAML; undefined when the text has no list. */
function namesIn(text: string): string[] | undefined {
  try {
    const list: unknown = parse(text.slice(0, 4096), { maxAliasCount: 0 });
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : undefined;
  } catch {
    return undefined;
  }
}
