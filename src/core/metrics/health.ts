/** What `/readyz` asks: the name of a part, and the reason why it is not ready; undefined when it is. Never fails. */
export type ReadinessChecks = Readonly<Record<string, () => Promise<string | undefined> | string | undefined>>;

/** An answer to a probe. */
export interface ProbeAnswer {
  status: 200 | 503;
  text: string;
}

/**
 * Answers a readiness probe in the format of Kubernetes components: `ok`, or a line for each check when one fails or `verbose` is
 * set.
 */
export async function readiness(checks: ReadinessChecks, verbose: boolean): Promise<ProbeAnswer> {
  const lines: string[] = [];
  let isReady = true;
  for (const [name, check] of Object.entries(checks)) {
    const problem = await check();
    isReady &&= problem === undefined;
    lines.push(problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`);
  }
  if (isReady && !verbose) return { status: 200, text: 'ok\n' };
  lines.push(`readyz check ${isReady ? 'passed' : 'failed'}`);
  return { status: isReady ? 200 : 503, text: `${lines.join('\n')}\n` };
}
