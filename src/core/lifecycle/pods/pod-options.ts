import type { Backend } from '../../model/backend.ts';
import type { Clock } from '../../model/clock.ts';
import type { Logger } from '../../model/logger.ts';
import type { Plugins } from '../../model/plugins.ts';
import type { EventHub } from '../events/event-hub.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import type { StoredPod } from './sandbox-record.ts';

/** The dependencies of the pod service. */
export interface PodServiceOptions {
  records: RecordsPlace;
  backends: readonly Backend[];
  defaultHandler: string;
  stored: StoredPod;
  clock: Clock;
  logger: Logger;
  events: EventHub;
  plugins: Plugins;
}
