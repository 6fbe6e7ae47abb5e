import type { PodMetadata } from '../../../../core/model/pod-spec.ts';

/** Characters of a name in the notes, which hold 8192. */
const LONGEST = 300;

/**
 * The notes of a pod's guest, in Markdown: whose it is, how to look into it, and what stopping it does. Nothing reads them but
 * people, who may edit them.
 * @param above text of at most 4096 characters that precedes them.
 */
export function guestNotes(id: string, { namespace, name, uid }: PodMetadata, above?: string): string {
  const short = id.slice(0, 13);
  return [
    ...(above === undefined ? [] : [above, '']),
    `Pod ${plain(namespace)}/${plain(name)}, UID ${plain(uid)}, sandbox ${id}`,
    '',
    `    crictl inspectp ${short}`,
    `    crictl ps --all --pod ${short}`,
    '    crictl logs CONTAINER',
    '',
    'This guest is a Kubernetes pod. When it is stopped, the pod ends, and the kubelet starts a new one in another guest: ' +
      'change or delete the pod in Kubernetes.',
  ].join('\n');
}

/** What Markdown does not take for more than text. */
function plain(text: string): string {
  return text.replace(/[^A-Za-z0-9._:@-]+/g, ' ').slice(0, LONGEST);
}
