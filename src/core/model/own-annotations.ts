/** The names of all annotations that this server reads begin with it, besides those of Kubernetes. */
export const ANNOTATION_PREFIX = 'proxmox-lxcri.io/';

/** Those of a pod's annotations that are for this server. */
export function ownAnnotations(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => name.startsWith(ANNOTATION_PREFIX)));
}

/** Path of an annotation in a request, for errors. */
export function annotationField(annotation: string): string {
  return `config.annotations[${JSON.stringify(annotation)}]`;
}
