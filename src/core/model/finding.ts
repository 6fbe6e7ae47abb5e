/** The result of one check of `doctor`. `missing`: the server cannot work; `warning`: a part of it cannot. */
export interface Finding {
  subject: string;
  status: 'ok' | 'warning' | 'missing';
  /** The state found, or the problem. */
  found: string;
  /** The remedy; empty when none is needed. */
  remedy: string;
  /** Lines of a shell that are the remedy or a part of it, in their order. */
  commands?: readonly string[];
}

export function ok(subject: string, found: string): Finding {
  return { subject, status: 'ok', found, remedy: '' };
}

export function warning(subject: string, found: string, remedy: string): Finding {
  return { subject, status: 'warning', found, remedy };
}

export function missing(subject: string, found: string, remedy: string): Finding {
  return { subject, status: 'missing', found, remedy };
}
