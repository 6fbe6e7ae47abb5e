import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { TerminalSize } from '../../../core/model/container-runner.ts';
import { failedPrecondition } from '../../../core/model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';

/** What conmon's read(2) asks for: CTLBUFSZ of its ctrl.c, less the final zero. */
const READ_SIZE = 199;

/**
 * Sets the size of the container's terminal through conmon's control FIFO; of several calls in a row the last one holds.
 * @throws CriError FAILED_PRECONDITION when conmon is gone.
 */
export async function resizeTerminal(control: string, { width, height }: TerminalSize): Promise<void> {
  const message = pad(`1 ${String(height)} ${String(width)}`);
  // Twice: on its way to the terminal a size passes a second pipe, of which conmon again takes the first of what it read.
  await send(control, message + message);
}

/**
 * Asks conmon to open the container's log again. It does so soon after.
 * @throws CriError FAILED_PRECONDITION when conmon is gone.
 */
export async function askToReopenLog(control: string): Promise<void> {
  await send(control, pad('2 0 0'));
}

/** As long as one read: of several messages in one, conmon acts on the first alone. */
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
