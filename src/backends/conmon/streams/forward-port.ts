import type { ContainerStreams } from '../../../core/model/container-runner.ts';
import type { Placement } from '../../../core/model/sandbox-provider.ts';
import { Pump, feed } from './pump.ts';
import { relayCommand, runRelay } from './relay-process.ts';

/** One connection to a port on a pod's loopback; see ContainerRunner.forwardPort. */
export async function forwardPort(
  placement: Placement,
  port: number,
  io: ContainerStreams,
  signal: AbortSignal,
): Promise<void> {
  const netns = placement.namespaces.network;
  const command = relayCommand('tcp', String(port), ...(netns === undefined ? [] : [netns]));
  const what = `cannot connect to port ${String(port)} on localhost of the pod`;
  await runRelay({ command, cwd: '/', what }, signal, async ({ stdin, stdout }) => {
    feed(io.stdin, stdin);
    await new Pump(stdout, io.stdout).ended;
    // The pod has closed its direction; the client is notified at once, since it may wait for that before it closes its
    // own.
    io.stdout?.end();
  });
}
