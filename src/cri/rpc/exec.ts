import type { RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { OciProcess } from '../../core/model/oci-runtime.ts';
import { failedPrecondition, invalidArgument } from '../../core/model/errors.ts';
import type { Handlers } from '../handlers.ts';
import { checkFlags, checkPort } from '../streaming/requests.ts';
import type { RemoteCommand } from '../streaming/requests.ts';
import type { Services } from './services.ts';

/** ExecSync, and Exec, Attach and PortForward, which answer with a URL of the streaming server. */
export function execCalls({ containers, pods, streaming }: Services): Handlers<typeof RuntimeServiceService> {
  /** The full id of a running container, and what runs it. @throws CriError NOT_FOUND, FAILED_PRECONDITION */
  const running = (id: string) => {
    const { id: fullId, sandboxId, phase } = containers.get(id);
    if (phase !== 'running') throw failedPrecondition(`container ${fullId} is ${phase}, not running`);
    return { id: fullId, runner: pods.runnerOf(sandboxId) };
  };
  const processOf = async (
    { id, runner }: ReturnType<typeof running>,
    args: string[],
    terminal: boolean,
  ): Promise<OciProcess> => {
    const spec = await runner.spec(id);
    if (spec === undefined) throw failedPrecondition(`container ${id} has no runtime configuration any more`);
    return { ...spec.process, args, terminal };
  };
  return {
    execSync: ({ containerId, cmd, timeout }, { signal }) => containers.execSync(containerId, cmd, timeout, signal),

    exec: async ({ containerId, cmd, stdin, stdout, stderr, tty }) => {
      const container = running(containerId);
      const flags = { stdin, stdout, stderr, tty };
      checkFlags(flags);
      if (cmd.length === 0) throw invalidArgument('cmd', 'must not be empty');
      if (cmd.some((word) => word.includes('\0'))) throw invalidArgument('cmd', 'must not hold a NUL character');
      const process = await processOf(container, cmd, tty);
      const url = streaming.offer({
        kind: 'exec',
        flags,
        run: (io, signal) => {
          const { id, runner } = running(container.id);
          return runner.execStream(id, process, io, signal);
        },
      });
      return { url };
    },

    attach: ({ containerId, stdin, stdout, stderr, tty }) => {
      const container = running(containerId);
      const flags = { stdin, stdout, stderr, tty };
      checkFlags(flags);
      const run: RemoteCommand['run'] = async (io, signal) => {
        const { id, runner } = running(container.id);
        await runner.attach(id, io, signal);
        return 0;
      };
      return Promise.resolve({ url: streaming.offer({ kind: 'attach', flags, run }) });
    },

    portForward: ({ podSandboxId, port }) => {
      const { id } = pods.ready(podSandboxId).record;
      port.forEach(checkPort);
      const url = streaming.offer({
        kind: 'portforward',
        ports: port,
        run: (number, io, signal) => {
          const { runner, placement } = pods.ready(id);
          return runner.forwardPort(placement, number, io, signal);
        },
      });
      return Promise.resolve({ url });
    },
  };
}
