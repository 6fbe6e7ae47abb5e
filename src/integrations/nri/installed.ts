import { constants } from 'node:fs';
import { access, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { readText } from '../../host/paths.ts';
import { startKillable } from '../../host/processes/start-program.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import { fullName, parseName } from './plugin-connection.ts';
import type { PluginName } from './plugin-connection.ts';

/** Maximum bytes of a plugin's configuration. */
const CONFIGURATION_BYTES = 1024 * 1024;
/** Maximum characters of a line that a plugin writes. */
const LINE_LENGTH = 2048;
/** The plugin's descriptor of its connection. */
const CONNECTION = 3;

/** A plugin that the server starts. */
export interface InstalledPlugin extends PluginName {
  path: string;
  /** In the plugin's own format; empty: none. */
  configuration: string;
}

/**
 * The executable files in a directory with names such as `10-example`, in their order; none when it does not exist.
 * @param problem called for each that cannot be started.
 */
export async function installedPlugins(
  directory: string,
  configurations: string,
  problem: (path: string, message: string) => void,
): Promise<InstalledPlugin[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) problem(directory, messageOf(error));
    return [];
  });
  const found: InstalledPlugin[] = [];
  for (const file of names.sort()) {
    const path = join(directory, file);
    if (!(await isExecutable(path))) continue;
    const name = parseName(file);
    if (name === undefined) {
      problem(path, 'the name of a plugin must be as in "10-example"');
      continue;
    }
    try {
      found.push({ ...name, path, configuration: await configurationOf(configurations, name) });
    } catch (error) {
      problem(path, messageOf(error));
    }
  }
  return found;
}

/** A plugin that runs. */
export interface StartedPlugin {
  connection: Socket;
  /** How it ended. */
  ended: Promise<string>;
  /** Kills it. */
  kill: () => void;
}

/**
 * Starts a plugin with a connection to this process.
 * @param sockets directory for its socket, which is removed once it is connected.
 * @param onLine called for each line that it writes.
 * @throws CriError UNAVAILABLE when it cannot be started.
 */
export async function startPlugin(
  plugin: InstalledPlugin,
  sockets: string,
  onLine: (line: string) => void,
): Promise<StartedPlugin> {
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  const path = join(sockets, `${fullName(plugin)}.sock`);
  await rm(path, { force: true });
  const server = createServer();
  const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, resolve);
  });
  try {
    const { PATH } = process.env;
    const { pipes, ended, kill } = await startKillable({
      argv: [plugin.path],
      env: {
        PATH,
        NRI_PLUGIN_NAME: plugin.base,
        NRI_PLUGIN_IDX: plugin.index,
        NRI_PLUGIN_SOCKET: String(CONNECTION),
      },
      cwd: '/',
      pipes: { 1: 'out', 2: 'out' },
      descriptors: { [CONNECTION]: { kind: 'connect', path } },
    });
    for (const pipe of [pipes[1], pipes[2]]) readLines(pipe, onLine);
    const how = ended.then(({ exit, problem }) => {
      if (exit?.signal !== undefined) return `killed by ${exit.signal}`;
      return exit?.code === undefined ? problem : `exit code ${String(exit.code)}`;
    }, messageOf);
    return { connection: await connected, ended: how, kill };
  } catch (error) {
    void connected.then((connection) => connection.destroy());
    throw error;
  } finally {
    server.close();
    await rm(path, { force: true });
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function configurationOf(directory: string, name: PluginName): Promise<string> {
  for (const file of [`${fullName(name)}.conf`, `${name.base}.conf`]) {
    try {
      return await readText(join(directory, file), CONFIGURATION_BYTES);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }
  return '';
}

function readLines(pipe: Readable, onLine: (line: string) => void): void {
  let rest = '';
  pipe.setEncoding('utf8');
  pipe.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(0, LINE_LENGTH);
    for (const line of lines) onLine(line.slice(0, LINE_LENGTH));
  });
}
