import test from 'ava';
import { Image, ListImagesResponse } from '../../../../api/gen/cri.ts';
import { parseImageConfig } from '../../../../src/core/lifecycle/images/image-config.ts';
import { resolveUser } from '../../../../src/core/lifecycle/oci/users.ts';
import type { ImageRecord } from '../../../../src/core/model/image.ts';
import { toImage } from '../../../../src/cri/map/image.ts';

/** The user of an image as a client of ListImages receives it. */
function listed(User: string): Pick<Image, 'uid' | 'username'> {
  const config = parseImageConfig(Buffer.from(JSON.stringify({ config: {} })));
  const record: ImageRecord = {
    id: `sha256:${'a'.repeat(64)}`,
    repoTags: [],
    repoDigests: [],
    manifestDigest: '',
    // Records of earlier versions may have any user.
    config: { ...config, config: { ...config.config, User } },
    size: 0n,
    chainId: undefined,
    pulledAt: 0n,
    pinned: false,
  };
  const message = ListImagesResponse.encode({ images: [toImage(record)] }).finish();
  const [{ uid, username } = Image.create()] = ListImagesResponse.decode(message).images;
  return { uid, username };
}

test('an image lists its user as an id or a name', (t) => {
  t.deepEqual(listed(''), { uid: { value: 0n }, username: '' });
  t.deepEqual(listed('1000:50'), { uid: { value: 1000n }, username: '' });
  t.deepEqual(listed('4294967294'), { uid: { value: 4_294_967_294n }, username: '' });
  t.deepEqual(listed('web:50'), { uid: undefined, username: 'web' });
});

test('a user that is no id fails no list', (t) => {
  for (const User of ['4294967295', '9'.repeat(20), '9'.repeat(1e6)]) {
    t.deepEqual(listed(User), { uid: undefined, username: User });
    t.throws(() => resolveUser({ supplementalGroups: [], mergeImageGroups: true }, User, { passwd: '', group: '' }), {
      message: /^the image's User: \d{10,40} is not an id from 0 to 4294967294$/,
    });
  }
  const long = Buffer.from(JSON.stringify({ config: { User: '9'.repeat(1025) } }));
  t.throws(() => parseImageConfig(long), {
    message: 'image configuration: config.User: must not be longer than 1024 characters',
  });
});
