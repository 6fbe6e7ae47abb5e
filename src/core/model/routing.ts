import { matchesGlob } from './glob.ts';
import type { PodSpec } from './pod-spec.ts';

/** A rule that chooses the handler of a pod whose request names none: it matches when all conditions that it has hold. */
export interface RoutingRule {
  /** Names the rule where people read which one chose; empty: only its position does. */
  name: string;
  /** Globs, one of which matches the pod's namespace. */
  namespaces?: readonly string[];
  /** Globs by label: the pod has each label, with a value that matches. */
  labels?: Readonly<Record<string, string>>;
  /** The same of annotations. */
  annotations?: Readonly<Record<string, string>>;
  /** Whether the pod has the node's network. */
  host_network?: boolean;
  /** Whether a container of the pod is privileged. */
  privileged?: boolean;
  handler: string;
}

/** How the handler of a pod is chosen whose request names none: by the first rule that matches, or else the default. */
export interface Routing {
  rules: readonly RoutingRule[];
  defaultHandler: string;
}

/** The handler of a pod, and what chose it: {@link BY_REQUEST}, a rule, or {@link BY_DEFAULT}. */
export interface HandlerChoice {
  handler: string;
  chosenBy: string;
}

/** The request named the handler (CRI RunPodSandboxRequest.runtime_handler, from the pod's RuntimeClass). */
export const BY_REQUEST = 'runtime_handler';

/** No rule matched. */
export const BY_DEFAULT = 'runtime.default_handler';

/** What a rule may ask about a pod. */
export type RoutedPod = Pick<PodSpec, 'metadata' | 'labels' | 'annotations' | 'namespaces' | 'privileged'>;

/** Chooses the handler of a pod. @param asked the handler that the request names; empty: none. */
export function chooseHandler(asked: string, pod: RoutedPod, { rules, defaultHandler }: Routing): HandlerChoice {
  if (asked !== '') return { handler: asked, chosenBy: BY_REQUEST };
  const position = rules.findIndex((rule) => matches(rule, pod));
  const rule = rules[position];
  if (rule === undefined) return { handler: defaultHandler, chosenBy: BY_DEFAULT };
  const place = `routing[${String(position)}]`;
  return { handler: rule.handler, chosenBy: rule.name === '' ? place : `${place} (${rule.name})` };
}

/** Whether a rule has no condition, so that no rule after it is reached. */
export function matchesEveryPod({ namespaces, labels, annotations, host_network, privileged }: RoutingRule): boolean {
  return [namespaces, labels, annotations, host_network, privileged].every((condition) => condition === undefined);
}

/** The handlers, each once, that a pod may get whose request names none. */
export function reachableHandlers({ rules, defaultHandler }: Routing): string[] {
  const chosen = rules.map(({ handler }) => handler);
  return [...new Set(rules.some(matchesEveryPod) ? chosen : [...chosen, defaultHandler])];
}

/** The handler of a pod that meets no condition of a rule, and whose request names none. */
export function ordinaryHandler({ rules, defaultHandler }: Routing): string {
  return rules.find(matchesEveryPod)?.handler ?? defaultHandler;
}

function matches(rule: RoutingRule, pod: RoutedPod): boolean {
  const { namespaces, labels = {}, annotations = {}, host_network, privileged } = rule;
  return (
    (namespaces === undefined || namespaces.some((glob) => matchesGlob(glob, pod.metadata.namespace))) &&
    hasAll(pod.labels, labels) &&
    hasAll(pod.annotations, annotations) &&
    (host_network === undefined || host_network === (pod.namespaces.network === 'node')) &&
    (privileged === undefined || privileged === (pod.privileged ?? false))
  );
}

function hasAll(values: Readonly<Record<string, string>>, globs: Readonly<Record<string, string>>): boolean {
  return Object.entries(globs).every(([key, glob]) => {
    const value = Object.hasOwn(values, key) ? values[key] : undefined;
    return value !== undefined && matchesGlob(glob, value);
  });
}
