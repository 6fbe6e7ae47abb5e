import { StatusCode } from '../../../core/model/errors.ts';

/** A method of a service, as the generated code defines it. */
export interface Method<Request, Response> {
  /** `/service/method`. */
  path: string;
  requestSerialize: (request: Request) => Buffer;
  requestDeserialize: (bytes: Buffer) => Request;
  responseSerialize: (response: Response) => Buffer;
  responseDeserialize: (bytes: Buffer) => Response;
}

/** A method's service and name. */
export function splitPath(path: string): { service: string; method: string } {
  const [, service = '', method = ''] = path.split('/');
  return { service, method };
}

/** The status with which the other side answered a call. */
export class RemoteError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'RemoteError';
    this.code = code;
  }

  /** Whether the other side does not have the method. */
  get isUnimplemented(): boolean {
    return this.code === StatusCode.UNIMPLEMENTED;
  }
}

/** A call without an answer: the time is over, the connection has ended, or the answer cannot be read. */
export class LostCallError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LostCallError';
  }
}
