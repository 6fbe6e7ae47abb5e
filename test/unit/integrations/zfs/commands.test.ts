import test from 'ava';
import { mkdtempSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { call as nativeCall } from '../../../../src/host/native/call.ts';
import type { zfsClient as client } from '../../../../src/integrations/zfs/client.ts';
import { eventually } from '../../../lib/eventually.ts';
import { writeScript } from '../../../lib/script.ts';

const bin = mkdtempSync(join(tmpdir(), 'zfs-commands-'));
// Read when the client is loaded.
process.env['PATH'] = `${bin}:${process.env['PATH'] ?? ''}`;
let zfsClient: typeof client;
let call: typeof nativeCall;

// What the program does is in files named for the dataset, the last argument: it notes the call, then does as they say.
test.before(async () => {
  await writeScript(
    join(bin, 'zfs'),
    `cd '${bin}' || exit
  if [ "$1" = version ]; then echo >>versions; cat version; exit; fi
  for last; do :; done
  name=$(echo "$last" | tr / _)
  echo "$@" >>"$name.calls"
  if [ -e "$name.waits" ]; then read -r _ <"$name.waits"; fi
  if [ -e "$name.busy" ]; then rm "$name.busy"; echo "cannot destroy '$last': dataset is busy" >&2; exit 1; fi
  if [ -e "$name.error" ]; then cat "$name.error" >&2; exit 1; fi
  case "$2" in
    -jp) cat json ;;
    -Hp) printf '%s\\tused\\t7\\t-\\n' "$last" ;;
  esac`,
  );
  await writeFile(join(bin, 'version'), 'zfs-2.4.4-1\nzfs-kmod-2.4.4-1\n');
  await writeFile(join(bin, 'json'), '{"output_version":{"vers_major":0},"datasets":{"p/a":{"na');
  ({ zfsClient } = await import('../../../../src/integrations/zfs/client.ts'));
  ({ call } = await import('../../../../src/host/native/call.ts'));
});
test.after.always(() => rm(bin, { recursive: true, force: true }));

function calls(name: string): Promise<string[]> {
  return readFile(join(bin, `${name}.calls`), 'utf8').then(
    (text) => text.trim().split('\n'),
    () => [],
  );
}

test.serial('the dialect is detected once', async (t) => {
  const { zfs } = zfsClient();
  await Promise.all([zfs.get(['p/d'], ['used']), zfs.get(['p/d'], ['used'])]);
  await zfs.get(['p/d'], ['used']);
  t.is((await readFile(join(bin, 'versions'), 'utf8')).length, 1);
});

test('JSON that is cut off is read again as lines', async (t) => {
  const [entry] = await zfsClient().zfs.get(['p/a'], ['used']);
  t.is(entry?.properties.get('used')?.value, '7');
  t.deepEqual(
    (await calls('p_a')).map((line) => line.slice(0, 7)),
    ['get -jp', 'get -Hp'],
  );
});

test('many names are read in several commands', async (t) => {
  const names = Array.from({ length: 250 }, (_, index) => `m/${String(index)}`);
  await zfsClient('lines').zfs.get(names, ['used']);
  const read = await Promise.all(
    names.map(async (name) => ((await calls(name.replace('/', '_'))).length > 0 ? name : '')),
  );
  t.deepEqual(read.filter(Boolean), ['m/99', 'm/199', 'm/249']);
});

test('a busy dataset is tried again', async (t) => {
  await writeFile(join(bin, 'p_busy.busy'), '');
  await zfsClient().zfs.destroy('p/busy');
  t.is((await calls('p_busy')).length, 2);
});

test('other failures are not tried again', async (t) => {
  await writeFile(join(bin, 'p_no.error'), "cannot destroy 'p/no': permission denied\n");
  await t.throwsAsync(zfsClient().zfs.destroy('p/no'), { name: 'ZfsError', message: /zfs allow/ });
  t.is((await calls('p_no')).length, 1);
});

test('cancelling kills the program', async (t) => {
  await call([{ do: 'mkfifo', paths: [join(bin, 'p_stop.waits')], mode: 0o600 }]);
  const stop = new AbortController();
  const created = zfsClient().zfs.createFilesystem('p/stop', { signal: stop.signal });
  await eventually('the call', async () => (await calls('p_stop')).length > 0);
  stop.abort(new Error('enough'));
  await t.throwsAsync(created, { message: 'enough' });
});

test('a program has a time limit', async (t) => {
  await call([{ do: 'mkfifo', paths: [join(bin, 'p_slow.waits')], mode: 0o600 }]);
  const created = zfsClient().zfs.createFilesystem('p/slow', { timeoutMs: 300 });
  await t.throwsAsync(created, { name: 'ZfsError', message: /p\/slow: not done after 300 ms; it may have been done/ });
});

test('a bounded number of programs runs for each pool', async (t) => {
  const names = Array.from({ length: 12 }, (_, index) => `q/${String(index)}`);
  const fifos = names.map((name) => join(bin, `${name.replace('/', '_')}.waits`));
  await call([{ do: 'mkfifo', paths: fifos, mode: 0o600 }]);
  const stop = new AbortController();
  const { zfs } = zfsClient();
  const all = Promise.allSettled(names.map((name) => zfs.createFilesystem(name, { signal: stop.signal })));
  const started = async () =>
    (await Promise.all(names.map((name) => calls(name.replace('/', '_'))))).filter((each) => each.length > 0).length;
  await eventually('as many as may run', async () => (await started()) === 8);
  await zfs.createFilesystem('other/a');
  t.is(await started(), 8);
  stop.abort();
  await all;
});

test('malformed names start no program', async (t) => {
  const { zfs } = zfsClient();
  await t.throwsAsync(async () => zfs.destroy('p/../a'), { message: /component "\.\."/ });
  await t.throwsAsync(async () => zfs.destroy('p', { recursive: true }), { message: /never destroyed/ });
  await t.throwsAsync(async () => zfs.clone('p/a@b', 'p/c', { settings: { volsize: '1' } }), { message: /volsize/ });
  await t.throwsAsync(async () => zfs.set('p/-', { 'a:b': 'x\ny' }), { message: /control character/ });
  t.deepEqual(await calls('p'), []);
});
