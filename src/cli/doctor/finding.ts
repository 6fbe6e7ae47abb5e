/** The result of one check. `missing`: the server cannot work; `warning`: a part of it cannot. */
export interface Finding {
  subject: string;
  status: 'ok' | 'warning' | 'missing';
  /** The state found, or the problem. */
  found: string;
  /** The remedy; empty when none is needed. */
  remedy: string;
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
