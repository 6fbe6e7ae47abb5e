import { quoted } from '../../core/logging/escape.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';

/** An error of the server about work with a file, which names the file. One about the connection stays as it is. */
export function aboutFile(file: string, error: unknown): unknown {
  if (!(error instanceof CriError) || error.code === StatusCode.UNAVAILABLE || error.message.includes(file))
    return error;
  return new CriError(error.code, `${quoted(file)}: ${error.message}`, { cause: error });
}
