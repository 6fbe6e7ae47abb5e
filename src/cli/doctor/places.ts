import { access, constants } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { Config } from '../../core/config/schema.ts';
import { checkRoot } from '../../host/root-marker.ts';
import { messageOf } from '../../utils/errors.ts';
import { type Finding, missing, ok } from '../../core/model/finding.ts';

/** The directories of the server and its socket. */
export async function checkPlaces({ root, state, grpc }: Config): Promise<Finding[]> {
  const socket = grpc.listen.slice('unix://'.length);
  const findings: Finding[] = [];
  for (const [key, path] of [
    ['root', root],
    ['state', state],
  ] as const) {
    const existing = await nearest(path);
    const writable = await access(existing, constants.W_OK).then(
      () => true,
      () => false,
    );
    const problem = key === 'root' ? await rootProblem(path) : undefined;
    if (problem !== undefined) {
      findings.push(missing('directory root', problem, 'correct "root" in the configuration'));
      continue;
    }
    findings.push(
      writable
        ? ok(`directory ${key}`, existing === path ? path : `${path}, not created yet`)
        : missing(`directory ${key}`, `${existing} is not writable`, `correct "${key}" in the configuration`),
    );
  }
  // sockaddr_un has room for 107 bytes and a NUL (unix(7)).
  findings.push(
    Buffer.byteLength(socket) > 107
      ? missing('socket', `${socket} is longer than 107 bytes`, 'shorten grpc.listen')
      : ok('socket', `${socket}: ${(await answers(socket)) ? 'a server listens' : 'no server listens'}`),
  );
  return findings;
}

/** The reason why the directory cannot be the server's root; undefined when it can. */
async function rootProblem(root: string): Promise<string | undefined> {
  try {
    await checkRoot(root);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** The path, or its lowest existing parent directory. */
export async function nearest(path: string): Promise<string> {
  for (let current = path; ; current = dirname(current)) {
    const there = await access(current).then(
      () => true,
      () => false,
    );
    if (there || current === '/') return current;
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
