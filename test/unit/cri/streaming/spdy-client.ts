import { constants, createDeflate } from 'node:zlib';
import { spdyDictionary } from '../../../../src/cri/streaming/spdy/dictionary.ts';
import { FrameDecoder, FrameKind, controlFrame, dataHeader } from '../../../../src/cri/streaming/spdy/frames.ts';
import type { Frame } from '../../../../src/cri/streaming/spdy/frames.ts';

/** Writes what a client writes, with header blocks compressed as Go and Java compress them. */
export class SpdyClientFrames {
  readonly #deflate = createDeflate({ dictionary: spdyDictionary });

  async open(id: number, headers: Record<string, string>): Promise<Buffer> {
    const parts: Buffer[] = [uint32(Object.keys(headers).length)];
    for (const text of Object.entries(headers).flat()) parts.push(uint32(text.length), Buffer.from(text));
    const pieces: Buffer[] = [];
    const collect = (piece: Buffer) => pieces.push(piece);
    this.#deflate.on('data', collect);
    this.#deflate.write(Buffer.concat(parts));
    await new Promise<void>((resolve) => {
      this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve);
    });
    this.#deflate.off('data', collect);
    return controlFrame(FrameKind.SYN_STREAM, 0, [id, 0], Buffer.concat([Buffer.alloc(2), ...pieces]));
  }

  data(id: number, content: string | Buffer, fin = false): Buffer {
    const bytes = Buffer.from(content);
    return Buffer.concat([dataHeader(id, bytes.length, fin), bytes]);
  }

  ping(id: number): Buffer {
    return controlFrame(FrameKind.PING, 0, [id]);
  }

  reset(id: number): Buffer {
    return controlFrame(FrameKind.RST_STREAM, 0, [id, 5]);
  }

  fin(id: number): Buffer {
    return dataHeader(id, 0, true);
  }
}

/** The content of each stream that a server sent, and which have ended. */
export function streamsOf(sent: Buffer): { content: Map<number, string>; ended: Set<number>; control: Frame[] } {
  const content = new Map<number, string>();
  const ended = new Set<number>();
  const control: Frame[] = [];
  for (const frame of new FrameDecoder().decode(sent)) {
    if (frame.type === 'control') control.push(frame);
    else {
      content.set(frame.streamId, (content.get(frame.streamId) ?? '') + frame.data.toString());
      if (frame.fin) ended.add(frame.streamId);
    }
  }
  return { content, ended, control };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
