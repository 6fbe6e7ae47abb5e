import { unimplemented } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { Network, NetworkAttachment, NetworkRequest } from '../../core/model/network.ts';

export interface CniNetworkOptions {
  /** Folder of `*.conflist`, `*.conf` and `*.json`; the first by name is used. */
  configDir: string;
  /** Where plugins are looked for, in order. */
  pluginDirs: readonly string[];
  logger: Logger;
}

/** Pod networks by CNI plugins (CNI specification 0.3.0 to 1.1.0). */
export class CniNetwork implements Network {
  readonly options: CniNetworkOptions;

  constructor(options: CniNetworkOptions) {
    this.options = options;
  }

  readiness(): Promise<{ ready: boolean; reason: string; message: string }> {
    throw unimplemented('CNI');
  }
  attach(
    _request: NetworkRequest & { netns: string },
    _started: (intent: NetworkAttachment) => Promise<void>,
    _signal?: AbortSignal,
  ): Promise<NetworkAttachment> {
    throw unimplemented('CNI');
  }
  detach(_request: NetworkRequest, _attachment: NetworkAttachment): Promise<void> {
    throw unimplemented('CNI');
  }
}
