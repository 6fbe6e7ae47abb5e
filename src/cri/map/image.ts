import { Image } from '../../../api/gen/cri.ts';
import type { AuthConfig } from '../../../api/gen/cri.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { Credentials, ImageRecord } from '../../core/model/image.ts';

/** The last user id; the next one means "none". */
const MAX_ID = 4_294_967_294;

/** The record in ListImages and ImageStatus. */
export function toImage(record: ImageRecord): Image {
  // "uid" or "name", with an optional ":group" that CRI does not report.
  const user = record.config.config.User.split(':')[0] ?? '';
  // A number that is no id cannot be sent as one, and would make every list of images fail.
  const isUid = /^\d{1,10}$/.test(user) && Number(user) <= MAX_ID;
  return Image.create({
    id: record.id,
    repoTags: record.repoTags,
    repoDigests: record.repoDigests,
    size: record.size,
    ...(user === '' ? { uid: { value: 0n } } : isUid ? { uid: { value: BigInt(user) } } : { username: user }),
    pinned: record.pinned,
  });
}

/**
 * The credentials of a pull; undefined without any. `auth` is base64 of `user:password` (CRI AuthConfig).
 * @throws CriError INVALID_ARGUMENT for another `auth`; the message does not contain the value.
 */
export function toCredentials(auth: AuthConfig | undefined): Credentials | undefined {
  if (auth === undefined) return undefined;
  const credentials: Credentials = {};
  if (auth.auth !== '') {
    const text = Buffer.from(auth.auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon < 0) throw invalidArgument('auth.auth', 'must be base64 of "user:password"');
    credentials.username = text.slice(0, colon);
    credentials.password = text.slice(colon + 1);
  }
  if (auth.username !== '') credentials.username = auth.username;
  if (auth.password !== '') credentials.password = auth.password;
  if (auth.identityToken !== '') credentials.identityToken = auth.identityToken;
  if (auth.registryToken !== '') credentials.registryToken = auth.registryToken;
  if (Object.keys(credentials).length === 0) return undefined;
  return auth.serverAddress === '' ? credentials : { ...credentials, serverAddress: auth.serverAddress };
}
