import { Readable } from 'node:stream';
import { type MessagePort, MessageChannel } from 'node:worker_threads';
import type { LayerStream } from '../../core/model/rootfs.ts';

type Piece = { chunk: Uint8Array } | { end: true } | { failed: true };

/** A layer that another thread reads while this one opens it. */
export interface FedLayer {
  port: MessagePort;
  /**
   * Reads what the thread has left, since a digest is checked at the end. @throws what the layer's stream failed with, also
   * while the thread read it.
   */
  finish(): Promise<void>;
  /** Ends the reading; undefined or what the stream failed with. */
  close(): Error | undefined;
}

/** Opens a layer for another thread, which asks for each piece of it with a message to the port. @throws what opening it throws. */
export async function feedLayer({ open }: LayerStream): Promise<FedLayer> {
  const stream = await open();
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const { port1, port2 } = new MessageChannel();
  let failure: Error | undefined;
  let reading: Promise<unknown> = Promise.resolve();
  const send = (piece: Piece) => {
    port1.postMessage(piece);
  };
  const next = async () => {
    try {
      const piece = await chunks.next();
      send(piece.done === true ? { end: true } : { chunk: piece.value });
    } catch (error) {
      failure ??= error as Error;
      send({ failed: true });
    }
  };
  port1.on('message', () => {
    reading = reading.then(next);
  });
  return {
    port: port2,
    finish: async () => {
      await reading;
      while (failure === undefined && (await chunks.next()).done !== true);
      if (failure !== undefined) throw failure;
    },
    close: () => {
      port1.close();
      stream.destroy();
      return failure;
    },
  };
}

/** The bytes of a layer that another thread feeds. The reason of a failure is known there. */
export function readFedLayer(port: MessagePort): Readable {
  const stream = new Readable({
    highWaterMark: 262_144,
    read: () => {
      port.postMessage('next');
    },
    destroy: (error, done) => {
      port.close();
      done(error);
    },
  });
  port.on('message', (piece: Piece) => {
    if ('chunk' in piece) stream.push(piece.chunk);
    else if ('end' in piece) stream.push(null);
    else stream.destroy(new Error('its source failed'));
  });
  port.on('close', () => {
    if (!stream.readableEnded) stream.destroy(new Error('its source was closed'));
  });
  return stream;
}
