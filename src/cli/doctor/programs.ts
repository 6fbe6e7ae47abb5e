import { programs, remedyFor } from '../../core/config/programs.ts';
import type { Program } from '../../core/config/programs.ts';
import type { Config } from '../../core/config/schema.ts';
import { findNative } from '../../host/native/find.ts';
import { inspectPath } from '../../host/paths.ts';
import { isProxmoxNode, which } from '../../host/processes/programs.ts';
import { run } from '../../host/processes/run.ts';
import { messageOf } from '../../utils/errors.ts';
import { type Finding, missing, ok, warning } from '../../core/model/finding.ts';

/** The programs that pods, containers and layers need, and their versions. */
export async function checkPrograms(config: Config): Promise<Finding[]> {
  const helper = await checkNative();
  // Without it no other program can be run.
  if (helper.status !== 'ok') return [helper];
  return [helper, ...(await Promise.all(programs(config, await isProxmoxNode()).map(checkProgram)))];
}

/** The native helper, which starts all others. */
async function checkNative(): Promise<Finding> {
  const subject = 'native helper';
  try {
    await inspectPath('/');
    return ok(subject, findNative());
  } catch (error) {
    return missing(subject, messageOf(error), 'run src/native/build, or reinstall the package');
  }
}

async function checkProgram(program: Program): Promise<Finding> {
  const { name, purpose, optional = false, version } = program;
  const subject = `program ${name}`;
  const remedy = remedyFor(program);
  const path = await which(name);
  if (path === undefined) return (optional ? warning : missing)(subject, `not found; it ${purpose}`, remedy);
  if (version === undefined) return ok(subject, path);
  try {
    const { stdout, stderr } = await run(path, version, { timeoutMs: 10_000 });
    return ok(subject, `${path}: ${(stdout || stderr).trim().split('\n')[0] ?? ''}`);
  } catch (error) {
    return missing(subject, `${path} failed: ${messageOf(error)}`, remedy);
  }
}
