import type { Backend } from '../../model/backend.ts';
import type { Clock } from '../../model/clock.ts';
import type { HostFacts } from '../../model/host-facts.ts';
import type { Logger } from '../../model/logger.ts';
import type { EventBus } from '../events.ts';
import type { UserNamespaces } from '../user-namespaces.ts';
import type { CgroupDriver } from './cgroup-parent.ts';

/** What the pod service works with. */
export interface PodServiceOptions {
  /** Folder of durable data and folder that a reboot empties. */
  root: string;
  state: string;
  backends: readonly Backend[];
  defaultHandler: string;
  cgroupDriver: CgroupDriver;
  /** Of pods whose request names none. */
  cgroupParent: string;
  userNamespaces: Pick<UserNamespaces, 'problem'>;
  host: HostFacts;
  clock: Clock;
  logger: Logger;
  events: EventBus;
}
