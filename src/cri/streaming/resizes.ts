import type { Readable } from 'node:stream';
import type { TerminalSize } from './requests.ts';

/** A size has about thirty bytes; longer data is not a size. */
const LONGEST_MESSAGE = 1024;
/** The kernel's limit: struct winsize has 16 bits (ioctl_tty(2)). */
const LARGEST = 65_535;

/**
 * Sizes from the resize stream: consecutive JSON objects `{"Width":80,"Height":24}`, in chunks of any length. Other data is
 * skipped. Ends with the stream.
 */
export async function* terminalSizes(stream: Readable): AsyncGenerator<TerminalSize> {
  let text = '';
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
        const object = text.slice(0, end + 1);
        text = text.slice(end + 1);
        const size = parseSize(object.slice(object.indexOf('{')));
        if (size !== undefined) yield size;
      }
      if (text.length > LONGEST_MESSAGE) text = '';
    }
  } catch {
    // The streaming session has ended.
  }
}

function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { Width: width, Height: height } = value as Record<string, unknown>;
  return isSide(width) && isSide(height) ? { width, height } : undefined;
}

function isSide(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= LARGEST;
}
