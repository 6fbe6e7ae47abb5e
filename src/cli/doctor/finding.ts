/** What was looked at and what was found. `missing` keeps the server from working; `warning` keeps a part of it. */
export interface Finding {
  subject: string;
  status: 'ok' | 'warning' | 'missing';
  /** What is there, or what is wrong. */
  found: string;
  /** What to do; empty when nothing is to be done. */
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
