import { Request, Response } from '../../../../api/gen/ttrpc/v1/ttrpc.ts';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Method } from './methods.ts';
import { FrameType, frame, frameReader, MAX_MESSAGE_BYTES } from './ttrpc-frames.ts';

type Handler = (payload: Buffer) => Promise<Buffer>;

/** Calls of one peer that may be at work at once; more are refused. */
const MOST_AT_ONCE = 64;

/** The called side of a ttrpc connection; unary calls. */
export class TtrpcServer {
  readonly #send: (bytes: Buffer) => void;
  readonly #handlers = new Map<string, Handler>();
  readonly #reader = frameReader(({ stream, type, body }) => {
    if (type !== FrameType.REQUEST) throw new Error(`a frame of type ${String(type)} is no request`);
    void this.#answer(stream, Request.decode(body));
  });
  #atWork = 0;

  /** @param send sends a frame. */
  constructor(send: (bytes: Buffer) => void) {
    this.#send = send;
  }

  /** Serves a method; the status of a CriError is answered, any other error is UNKNOWN. */
  on<Q, R>(method: Method<Q, R>, handler: (request: Q) => Promise<R>): void {
    this.#handlers.set(method.path, async (payload) =>
      method.responseSerialize(await handler(method.requestDeserialize(payload))),
    );
  }

  /** Takes bytes of the other side. @throws when they are no request. */
  receive(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  async #answer(stream: number, { service, method, payload }: Request): Promise<void> {
    let response: Response;
    this.#atWork += 1;
    try {
      if (this.#atWork > MOST_AT_ONCE) throw new CriError(StatusCode.RESOURCE_EXHAUSTED, 'too many calls at once');
      const handler = this.#handlers.get(`/${service}/${method}`);
      if (handler === undefined)
        throw new CriError(StatusCode.UNIMPLEMENTED, `/${service}/${method} is not implemented`);
      response = Response.create({ payload: await handler(payload) });
    } catch (error) {
      const code = error instanceof CriError ? error.code : StatusCode.UNKNOWN;
      response = Response.create({ status: { code, message: messageOf(error) } });
    } finally {
      this.#atWork -= 1;
    }
    this.#send(frame(stream, FrameType.RESPONSE, encoded(response)));
  }
}

function encoded(response: Response): Buffer {
  const bytes = Response.encode(response).finish();
  if (bytes.length <= MAX_MESSAGE_BYTES) return Buffer.from(bytes);
  const status = { code: StatusCode.RESOURCE_EXHAUSTED, message: `the response has ${String(bytes.length)} bytes` };
  return Buffer.from(Response.encode(Response.create({ status })).finish());
}
