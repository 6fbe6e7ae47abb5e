import { access, constants } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { Config } from '../../core/config/schema.ts';
import { messageOf } from '../../utils/errors.ts';
import { findNative } from '../../host/native/find.ts';
import { inspectPath } from '../../host/paths.ts';
import { run } from '../../host/processes/run.ts';
import { type Finding, missing, ok, warning } from './finding.ts';

interface Wanted {
  program: string;
  remedy: string;
  /** What asks for the version. */
  version: string[];
  /** What goes without it, where something does. */
  optional?: string;
}

/** The programs that pods, containers and layers are made with, and their versions. */
export async function checkPrograms({ runtime }: Config): Promise<Finding[]> {
  const debian = (name: string) => `apt-get install ${name}`;
  const wanted: Wanted[] = [
    {
      program: runtime.oci_runtime,
      version: ['--version'],
      remedy: `${debian('crun')}, or name another in runtime.oci_runtime`,
    },
    {
      program: runtime.conmon,
      version: ['--version'],
      remedy: `${debian('conmon')}, or name another in runtime.conmon`,
    },
    { program: 'lxc-start', version: ['--version'], remedy: debian('lxc') },
    { program: 'tar', version: ['--version'], remedy: debian('tar') },
    { program: 'nsenter', version: ['--version'], remedy: debian('util-linux') },
    {
      program: 'iptables',
      version: ['--version'],
      remedy: debian('iptables'),
      optional: 'the CNI plugins bridge (with ipMasq) and portmap run it',
    },
  ];
  const helper = await checkNative();
  // Without it no other program can be asked.
  return helper.status === 'ok' ? [helper, ...(await Promise.all(wanted.map(checkProgram)))] : [helper];
}

/** The helper that starts all others. */
async function checkNative(): Promise<Finding> {
  const subject = 'native helper';
  try {
    await inspectPath('/');
    return ok(subject, findNative());
  } catch (error) {
    return missing(subject, messageOf(error), 'src/native/build, or reinstall the package');
  }
}

async function checkProgram({ program, version, remedy, optional }: Wanted): Promise<Finding> {
  const subject = `program ${program}`;
  const path = await which(program);
  if (path === undefined) {
    return optional === undefined
      ? missing(subject, 'not found', remedy)
      : warning(subject, `not found: ${optional}`, remedy);
  }
  try {
    const { stdout, stderr } = await run(path, version, { timeoutMs: 10_000 });
    return ok(subject, `${path}: ${(stdout || stderr).split('\n')[0] ?? ''}`);
  } catch (error) {
    return missing(subject, `${path} does not run: ${messageOf(error)}`, remedy);
  }
}

/** The absolute path of a program given as a name on PATH or as a path. */
async function which(program: string): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(':').filter(isAbsolute);
  for (const path of isAbsolute(program) ? [program] : folders.map((folder) => join(folder, program))) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}
