import { connect, type Socket } from 'node:net';

/** What QEMU's monitor sends: one JSON object a line. */
export interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly QMP?: unknown;
}

function parsed(text: string): Message | undefined {
  try {
    return JSON.parse(text) as Message;
  } catch {
    return undefined;
  }
}

/** Calls `take` with each JSON object that arrives; a line that is none is left out. */
export function onMessages(socket: Socket, take: (message: Message) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      // An agent's answer to guest-sync-delimited begins with a byte that is no text.
      const message = parsed(line.replace(/^[^{]*/, ''));
      if (message !== undefined) take(message);
    }
  });
}

/** A command for a monitor or an agent. */
export interface Command {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** Why a command failed: QEMU's words, `got timeout`, or how the socket failed. */
export class CommandFailure extends Error {}

/**
 * Sends commands over a connection of its own, one after the other, as the node does: each monitor serves one client at a time.
 * @param path of the socket
 * @param hello the command that comes first: what a monitor demands, or an agent
 * @param timeout for all of them together, in milliseconds
 * @returns their answers.
 * @throws CommandFailure for the first one that fails.
 */
export function converse(
  path: string,
  hello: Command,
  commands: readonly Command[],
  timeout: number,
): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const left = [hello, ...commands];
    const answers: unknown[] = [];
    const timer = setTimeout(() => fail('got timeout'), timeout);
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
    };
    const fail = (why: string): void => {
      done();
      reject(new CommandFailure(why));
    };
    const next = (): void => {
      const command = left.shift();
      if (command !== undefined) socket.write(`${JSON.stringify(command)}\n`);
      else {
        done();
        resolve(answers.slice(1));
      }
    };
    socket.once('connect', next);
    socket.once('error', (error: NodeJS.ErrnoException) => fail(`unable to connect to socket - ${error.code ?? ''}`));
    socket.once('close', () => fail('client closed connection'));
    onMessages(socket, ({ error, ...message }) => {
      if (error !== undefined) fail(error.desc);
      else if ('return' in message) {
        answers.push(message.return);
        next();
      }
    });
  });
}
