import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { Handlers } from '../handlers.ts';
import { checkFlags, checkPort } from '../streaming/requests.ts';
import type { Services } from './services.ts';

/** ExecSync, and Exec, Attach and PortForward, which return a URL of the streaming server. */
export function execCalls({ sessions, pods, streaming }: Services): Handlers<typeof RuntimeServiceService> {
  return {
    execSync: ({ containerId, cmd, timeout }, { signal }) => sessions.execSync(containerId, cmd, timeout, signal),

    exec: async ({ containerId, cmd, stdin, stdout, stderr, tty }) => {
      const flags = { stdin, stdout, stderr, tty };
      checkFlags(flags);
      const run = await sessions.exec(containerId, cmd, tty);
      const bytes = cmd.reduce((sum, word) => sum + word.length, 0);
      return { url: streaming.offer({ kind: 'exec', flags, run }, bytes) };
    },

    attach: ({ containerId, stdin, stdout, stderr, tty }) => {
      const flags = { stdin, stdout, stderr, tty };
      checkFlags(flags);
      return Promise.resolve({
        url: streaming.offer({ kind: 'attach', flags, run: sessions.attach(containerId) }),
      });
    },

    portForward: ({ podSandboxId, port }) => {
      port.forEach(checkPort);
      const run = pods.forwardPorts(podSandboxId);
      return Promise.resolve({ url: streaming.offer({ kind: 'portforward', ports: port, run }) });
    },
  };
}
