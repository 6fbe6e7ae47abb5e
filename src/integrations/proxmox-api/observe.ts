import type { ErrorKind } from './errors/proxmox-error.ts';

/** Told of every call and task, for metrics. Labels have few values: no ids, no hosts. */
export interface Observer {
  /** `endpoint` is `METHOD /path/{template}`; `seconds` include the wait for a place. */
  call?(call: { endpoint: string; outcome: 'ok' | ErrorKind; seconds: number }): void;
  /** A task that was followed to its end. `type` is the server's: vzcreate, qmstart, … */
  task?(task: { type: string; outcome: 'ok' | 'warnings' | ErrorKind; seconds: number }): void;
}
