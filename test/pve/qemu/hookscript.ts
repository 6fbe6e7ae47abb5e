import { tool } from '../lxc/machine/tool.ts';
import type { Volumes } from '../state/volumes.ts';

/**
 * Runs the script of the configuration, as the node does before and after a machine starts and stops.
 * @param log gets what it prints, and why it failed where that stops nothing
 * @throws Error with the node's text when it fails before a start, which it stops.
 */
export async function runHookscript(
  vmid: number,
  values: Readonly<Record<string, string>>,
  phase: 'pre-start' | 'post-start' | 'pre-stop' | 'post-stop',
  volumes: Volumes,
  log: (line: string) => void,
): Promise<void> {
  const { hookscript } = values;
  if (hookscript === undefined) return;
  const shown = `${volumes.path(hookscript)} ${vmid} ${phase}`;
  try {
    const { stdout } = await tool(volumes.file(hookscript), [String(vmid), phase], { shown });
    for (const line of stdout.split('\n').filter((text) => text !== '')) log(line);
  } catch (error) {
    const why = `hookscript error for ${vmid} on ${phase}: ${(error as Error).message}`;
    if (phase === 'pre-start') throw new Error(why, { cause: error });
    log(why);
  }
}
