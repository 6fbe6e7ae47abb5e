/** The last line of a guest's notes names its pod. */
const MARK = /(?:^|\n)Kubernetes pod ([^\s]+) of proxmox-lxcri$/;

/** The notes of a pod's guest: `notes`, and the line that says whose guest it is. */
export function withOwner(notes: string | undefined, owner: string): string {
  return `${notes ? `${notes}\n\n` : ''}Kubernetes pod ${owner} of proxmox-lxcri`;
}

/** The pod that the notes of a guest name, undefined for a guest that somebody else made. */
export function ownerOf(notes: string | undefined): string | undefined {
  return MARK.exec(notes?.trimEnd() ?? '')?.[1];
}
