import test from 'ava';
import { imageName } from '../../../../src/cri/map/image-name.ts';

const id = `sha256:${'a'.repeat(64)}`;
const record = {
  repoTags: ['docker.io/library/a:1', 'docker.io/library/b:1', 'docker.io/library/beef:latest'],
  repoDigests: [`docker.io/library/a@${id}`],
};
const name = (asked: string, given: string) => imageName({ asked, name: given }, record, 'docker.io');

test('the requested image name is normalized', (t) => {
  t.is(name('', 'b:1'), 'docker.io/library/b:1');
  t.is(name('b:1', id), 'docker.io/library/b:1');
  t.is(name('', 'c:1'), 'docker.io/library/c:1', 'also when the image has lost it meanwhile');
  t.is(name('', `a@${id}`), `docker.io/library/a@${id}`);
  t.is(name('', 'beef'), 'docker.io/library/beef:latest');
});

test('without a name, a tag or id is used', (t) => {
  t.is(name('', id), 'docker.io/library/a:1');
  t.is(name('', 'aaaa'), 'docker.io/library/a:1');
  t.is(imageName({ asked: '', name: id }, undefined, 'docker.io'), id);
});
