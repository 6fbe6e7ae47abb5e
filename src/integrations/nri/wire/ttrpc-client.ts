import { Request, Response } from '../../../../api/gen/ttrpc/v1/ttrpc.ts';
import { messageOf } from '../../../utils/errors.ts';
import { LostCallError, RemoteError, splitPath } from './methods.ts';
import type { Method } from './methods.ts';
import { FrameType, frame, frameReader, MAX_MESSAGE_BYTES } from './ttrpc-frames.ts';

interface Waiting {
  resolve: (response: Response) => void;
  reject: (error: Error) => void;
}

/** The calling side of a ttrpc connection; unary calls. */
export class TtrpcClient {
  readonly #send: (bytes: Buffer) => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #reader = frameReader(({ stream, type, body }) => {
    if (type !== FrameType.RESPONSE) throw new Error(`a frame of type ${String(type)} is no response`);
    this.#waiting.get(stream)?.resolve(Response.decode(body));
  });
  #stream = -1;
  #ended: string | undefined;

  /** @param send sends a frame. */
  constructor(send: (bytes: Buffer) => void) {
    this.#send = send;
  }

  /** Takes bytes of the other side. @throws when they are no response. */
  receive(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  /** Fails the calls that wait, and all later ones. */
  end(reason: string): void {
    this.#ended = reason;
    for (const { reject } of this.#waiting.values()) reject(new LostCallError(reason));
  }

  /**
   * Calls a method.
   * @throws RemoteError with the status of the other side; LostCallError when no answer comes within `timeoutMs`, or it cannot be read.
   */
  async call<Q, R>(method: Method<Q, R>, request: Q, timeoutMs: number): Promise<R> {
    const content = Request.encode(
      Request.create({
        ...splitPath(method.path),
        payload: method.requestSerialize(request),
        timeoutNano: BigInt(Math.round(timeoutMs)) * 1_000_000n,
      }),
    ).finish();
    if (content.length > MAX_MESSAGE_BYTES) throw new LostCallError(`the request has ${String(content.length)} bytes`);
    const { status, payload } = await this.#exchange(Buffer.from(content), timeoutMs);
    if (status !== undefined && status.code !== 0) throw new RemoteError(status.code, status.message);
    try {
      return method.responseDeserialize(payload);
    } catch (error) {
      throw new LostCallError(`the answer is no message: ${messageOf(error)}`);
    }
  }

  async #exchange(content: Buffer, timeoutMs: number): Promise<Response> {
    if (this.#ended !== undefined) throw new LostCallError(this.#ended);
    // Streams of the calling side have odd numbers.
    this.#stream = (this.#stream + 2) % 2 ** 32;
    const stream = this.#stream;
    const answer = Promise.withResolvers<Response>();
    const timer = setTimeout(() => {
      answer.reject(new LostCallError(`no answer within ${String(timeoutMs / 1000)} s`));
    }, timeoutMs);
    this.#waiting.set(stream, answer);
    try {
      this.#send(frame(stream, FrameType.REQUEST, content));
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(stream);
    }
  }
}
