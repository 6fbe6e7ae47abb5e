import type { Readable } from 'node:stream';
import type { TerminalSize } from './requests.ts';

/** A size has about thirty bytes; longer data is not a size. */
const LONGEST_MESSAGE = 1024;
/** The kernel's limit: struct winsize has 16 bits (ioctl_tty(2)). */
const LARGEST = 65_535;
const OBJECT = /\{[^{}]*\}/g;
const WIDTH = /"Width"\s*:\s*(\d{1,5})\s*[,}]/;
const HEIGHT = /"Height"\s*:\s*(\d{1,5})\s*[,}]/;

/**
 * Sizes from the resize stream: consecutive JSON objects `{"Width":80,"Height":24}`, in chunks of any length. Other data is
 * skipped. Ends with the stream.
 */
export async function* terminalSizes(stream: Readable): AsyncGenerator<TerminalSize> {
  let text = '';
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      text += chunk.toString('latin1');
      for (const [object] of text.matchAll(OBJECT)) {
        const size = parseSize(object);
        if (size !== undefined) yield size;
      }
      text = text.slice(text.lastIndexOf('}') + 1);
      if (text.length > LONGEST_MESSAGE) text = '';
    }
  } catch {
    // The streaming session has ended.
  }
}

// Without JSON.parse, whose errors cost microseconds: a client may send millions of braces.
function parseSize(object: string): TerminalSize | undefined {
  const [width, height] = [WIDTH, HEIGHT].map((side) => Number(side.exec(object)?.[1]));
  return isSide(width) && isSide(height) ? { width, height } : undefined;
}

function isSide(value: number | undefined): value is number {
  return value !== undefined && value > 0 && value <= LARGEST;
}
