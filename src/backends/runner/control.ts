import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { failedPrecondition, isErrno } from '../../core/model/errors.ts';

/**
 * Writes one message to conmon's control FIFO: "1 ROWS COLUMNS" resizes the terminal, "2 0 0" opens the log anew.
 * @throws CriError FAILED_PRECONDITION when conmon is gone.
 */
export async function sendControl(control: string, message: string): Promise<void> {
  try {
    const fifo = await open(control, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      await fifo.writeFile(message);
    } finally {
      await fifo.close();
    }
  } catch (error) {
    if (!isErrno(error, 'ENXIO', 'ENOENT')) throw error;
    throw failedPrecondition('the container does not run, or its conmon has died', error);
  }
}
