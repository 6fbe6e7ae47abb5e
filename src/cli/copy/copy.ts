import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { basename, dirname, posix, resolve as absolute } from 'node:path';
import { ExecRequest, ExecSyncRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { notFound, unknown } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';
import { resolve } from '../client/resolve.ts';
import type { ServerClient } from '../client/server.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { foregroundSession, streamFlags } from '../stream/session.ts';
import { receive } from './receive.ts';

/** A path in a container. */
interface Remote {
  container: string;
  path: string;
}

/** Copies from or to a container with tar(1) at both ends. @throws UsageError, CriError */
export async function copyFiles(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [source = '', target = ''] = input.args;
  const [from, to] = [remoteOf(source), remoteOf(target)];
  if ((from === undefined) === (to === undefined)) {
    throw new UsageError('one of SOURCE and TARGET must be CONTAINER:PATH, the other a local path');
  }
  if (from !== undefined) await download(context, server, await found(server, from), target);
  else if (to !== undefined) await upload(context, server, source, await found(server, to));
}

/** `web:/path`; a local path with a colon needs a slash before it. */
function remoteOf(text: string): Remote | undefined {
  const [, container, path] = /^([^/:.][^/:]*):(.*)$/s.exec(text) ?? [];
  if (container === undefined || path === undefined) return undefined;
  if (path === '') throw new UsageError(`${JSON.stringify(text)}: the path in the container is missing`);
  return { container, path: posix.resolve('/', path) + (/\/\.?$/.test(path) && path !== '/' ? '/' : '') };
}

async function found(server: ServerClient, { container, path }: Remote): Promise<Remote> {
  return { container: (await resolve(server, container, ['container'])).id, path };
}

async function upload(context: CliContext, server: ServerClient, source: string, target: Remote): Promise<void> {
  const local = absolute(source);
  const directory = (await statOrThrow(local)).isDirectory();
  const into = target.path.endsWith('/') || (await isDirectory(server, target));
  const path = into ? posix.join(target.path, basename(local)) : target.path;
  // A directory is packed from within, a single file under its new name.
  const place = directory ? path : posix.dirname(path);
  const words = directory
    ? ['-C', local, '.']
    : ['-C', dirname(local), ...renamed(posix.basename(path)), `./${basename(local)}`];
  if (directory) await command(server, target.container, 'mkdir', '-p', place);
  const unpack = ['tar', '-x', '-o', '-f', '-', '-C', place];
  const request = ExecRequest.create({ containerId: target.container, cmd: unpack, ...streamFlags(SEND) });
  const { url } = await server.call(RuntimeServiceService.exec, request);
  let packed: Promise<void> = Promise.resolve();
  const stdin = () => {
    const pack = spawn('tar', ['--create', '--file=-', '--owner=0', '--group=0', '--numeric-owner', ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    packed = ended(pack);
    packed.catch(() => undefined);
    return pack.stdout;
  };
  const { exitCode } = await foregroundSession({ ...context, stdin }, url, SEND);
  if (exitCode !== 0) throw unknown(`tar in the container failed with exit code ${String(exitCode)}`);
  await packed;
}

/** tar --transform, with the special characters of its replacement escaped. */
function renamed(name: string): string[] {
  return [`--transform=flags=r;s|.*|./${name.replaceAll(/[\\&|]/g, '\\$&')}|`];
}

async function download(context: CliContext, server: ServerClient, source: Remote, target: string): Promise<void> {
  const path = source.path.replace(/\/$/, '') || '/';
  if (path === '/') throw new UsageError('the root directory of a container cannot be copied; name a directory in it');
  const local = absolute(target);
  const into = await stat(local).then(
    (there) => there.isDirectory(),
    () => false,
  );
  const pack = ['tar', '-c', '-f', '-', '-C', posix.dirname(path), `./${posix.basename(path)}`];
  const request = ExecRequest.create({ containerId: source.container, cmd: pack, ...streamFlags(RECEIVE) });
  const { url } = await server.call(RuntimeServiceService.exec, request);
  await receive(into ? `${local}/${posix.basename(path)}` : local, posix.basename(path), async (stdout) => {
    const { exitCode } = await foregroundSession({ ...context, stdout }, url, RECEIVE);
    if (exitCode !== 0) throw unknown(`tar in the container failed with exit code ${String(exitCode)}`);
  });
}

const SEND = { stdin: true, output: true, tty: false, detachKeys: Buffer.alloc(0) };
const RECEIVE = { ...SEND, stdin: false };

async function isDirectory(server: ServerClient, { container, path }: Remote): Promise<boolean> {
  return (await exec(server, container, 'test', '-d', path)).exitCode === 0;
}

/** @throws CriError UNKNOWN with the standard error of a failed command. */
async function command(server: ServerClient, containerId: string, ...cmd: string[]): Promise<void> {
  const { exitCode, stderr } = await exec(server, containerId, ...cmd);
  if (exitCode !== 0) throw unknown(stderr.toString().trim() || `${cmd.join(' ')}: exit code ${String(exitCode)}`);
}

function exec(server: ServerClient, containerId: string, ...cmd: string[]) {
  return server.call(RuntimeServiceService.execSync, ExecSyncRequest.create({ containerId, cmd }), { timeoutMs: 0 });
}

async function statOrThrow(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw notFound('file', path);
    throw error;
  }
}

/** @throws Error with the standard error of a failed program. */
async function ended(child: ChildProcess): Promise<void> {
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => (words += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(words.trim());
}
