import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { TerminalSize } from '../../../core/model/container-runner.ts';
import { failedPrecondition } from '../../../core/model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';

/** The size of conmon's read(2): CTLBUFSZ of its ctrl.c, minus the final zero. */
const READ_SIZE = 199;

/** Sends conmon the sizes of a client's terminal, until the session ends. */
export async function followSizes(control: string, sizes: AsyncIterable<TerminalSize> | undefined): Promise<void> {
  for await (const size of sizes ?? []) await resizeTerminal(control, size).catch(() => undefined);
}

/**
 * Sets the size of the container's terminal through conmon's control FIFO; the last of several consecutive calls wins.
 * @throws CriError FAILED_PRECONDITION when conmon is gone.
 */
async function resizeTerminal(control: string, { width, height }: TerminalSize): Promise<void> {
  const message = pad(`1 ${String(height)} ${String(width)}`);
  // Twice: the size passes a second pipe on its way to the terminal, where conmon again uses only the first one it
  // reads.
  await send(control, message + message);
}

/**
 * Requests conmon to reopen the container's log, which it does soon after.
 * @throws CriError FAILED_PRECONDITION when conmon is gone.
 */
export async function askToReopenLog(control: string): Promise<void> {
  await send(control, pad('2 0 0'));
}

/** As long as one read: conmon handles only the first of several messages in one read. */
function pad(message: string): string {
  return `${message.padEnd(READ_SIZE - 1)}\n`;
}

async function send(control: string, messages: string): Promise<void> {
  try {
    const fifo = await open(control, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      await fifo.writeFile(messages);
    } finally {
      await fifo.close();
    }
  } catch (error) {
    if (!isErrno(error, 'ENXIO', 'ENOENT')) throw error;
    throw failedPrecondition('the container is not running, or its conmon was killed', error);
  }
}
