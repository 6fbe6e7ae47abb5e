import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { Handlers } from '../handlers.ts';
import type { Services } from './services.ts';

/** ExecSync. Exec, Attach and PortForward need the streaming server, which is not built: they answer UNIMPLEMENTED. */
export function execCalls({ containers }: Services): Handlers<typeof RuntimeServiceService> {
  return {
    execSync: ({ containerId, cmd, timeout }, { signal }) => containers.execSync(containerId, cmd, timeout, signal),
  };
}
