import { PassThrough } from 'node:stream';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { Image, LayerProgress, LayerState } from '../../../api/gen/cri.ts';
import { ProgressLine, progressText } from '../../../src/cli/bfc/progress-line.ts';
import { LayerLines, layerLine } from '../../../src/cli/output/layer-lines.ts';
import { cli } from './harness.ts';
import { scriptedServer } from './scripted-server.ts';

const { LAYER_STATE_WAITING, LAYER_STATE_DOWNLOADING, LAYER_STATE_UNPACKING, LAYER_STATE_DONE, LAYER_STATE_PRESENT } =
  LayerState;

const MIB = 1_048_576n;
const layer = (index: number, state: LayerState, received = 0n): LayerProgress =>
  LayerProgress.create({ index, digest: `sha256:${String(index).repeat(64)}`, size: 12n * MIB, received, state });

/** What an output shows after these updates: a terminal of this size, or none. */
function shown(updates: LayerProgress[][], size?: { columns: number; rows: number }): { raw: string; lines: string[] } {
  const output = Object.assign(new PassThrough(), size && { isTTY: true, ...size });
  const display = new LayerLines(output);
  for (const layers of updates) display.update(layers);
  const raw = String(output.read() ?? '');
  const lines: string[] = [];
  for (const part of raw.split(/(\u001b\[\d+A\u001b\[J)/)) {
    const back = /^\u001b\[(\d+)A/.exec(part)?.[1];
    if (back === undefined) lines.push(...part.split('\n').slice(0, -1));
    else lines.splice(-Number(back));
  }
  return { raw, lines };
}

test('A layer is a line of id, state and bytes', (t) => {
  t.is(layerLine(layer(1, LAYER_STATE_WAITING)), '1111111111111  waiting          12.0 MiB');
  t.is(layerLine(layer(1, LAYER_STATE_DOWNLOADING, 3n * MIB)), '1111111111111  downloading      3.0 MiB / 12.0 MiB');
  t.is(layerLine(layer(1, LAYER_STATE_UNPACKING, 12n * MIB)), '1111111111111  unpacking        12.0 MiB');
  t.is(layerLine(layer(1, LAYER_STATE_PRESENT)), '1111111111111  already present  12.0 MiB');
  for (let width = 1; width < 60; width++) {
    t.true(layerLine(layer(1, LAYER_STATE_DOWNLOADING, MIB), width).length <= width, String(width));
  }
  t.is(layerLine(layer(1, LAYER_STATE_DONE), 20), '1111111111111  done…');
});

const updates = [
  [layer(0, LAYER_STATE_PRESENT), layer(1, LAYER_STATE_WAITING), layer(2, LAYER_STATE_WAITING)],
  [layer(1, LAYER_STATE_DOWNLOADING, 3n * MIB)],
  [layer(1, LAYER_STATE_UNPACKING, 12n * MIB), layer(2, LAYER_STATE_DOWNLOADING, MIB)],
  [layer(1, LAYER_STATE_DONE, 12n * MIB)],
];
const ends = [
  '0000000000000  already present  12.0 MiB',
  '1111111111111  done             12.0 MiB',
  '2222222222222  downloading      1.0 MiB / 12.0 MiB',
];

test('A terminal shows each layer once, redrawn', (t) => {
  t.deepEqual(shown(updates, { columns: 80, rows: 24 }).lines, ends);
  const last = [...updates, [layer(2, LAYER_STATE_DONE, 12n * MIB)]];
  t.deepEqual(shown(last, { columns: 80, rows: 24 }).lines, [
    ...ends.slice(0, 2),
    '2222222222222  done             12.0 MiB',
  ]);
});

test('Lines fit a terminal of any size', (t) => {
  const many = Array.from({ length: 40 }, (_, index) => layer(index, LAYER_STATE_WAITING));
  for (const [columns, rows] of [
    [80, 5],
    [20, 24],
    [2, 1],
    [1, 1],
    [0, 0],
  ] as const) {
    const { raw, lines } = shown([many, ...updates], { columns, rows });
    for (const line of lines) t.true(line.length <= Math.max(1, columns - 1), line);
    // Only lines on the screen can be replaced.
    for (const [, back] of raw.matchAll(/\u001b\[(\d+)A/g)) t.true(Number(back) < Math.max(rows, 3), back);
  }
  t.regex(shown([many], { columns: 80, rows: 5 }).raw, /\nand 37 more\n$/);
});

test('Elsewhere a line for each complete layer is written', (t) => {
  t.deepEqual(shown(updates), { raw: `${ends.slice(0, 2).join('\n')}\n`, lines: ends.slice(0, 2) });
});

const image = Image.create({ id: 'sha256:1', size: 5n * MIB });

test('pull prints progress and the id', async (t) => {
  const server = await scriptedServer(t, {
    imageStatus: () => ({ image }),
    pull: async function* () {
      for (const layers of updates) yield { layers };
      await Promise.resolve();
      yield { imageId: 'sha256:1' };
    },
  });
  const { code, stdout, stderr } = await cli(['pull', '--address', server.address, 'x/y']);
  t.deepEqual([code, stdout], [0, 'sha256:1\n']);
  t.regex(stderr, /^Pulling x\/y\n0+ .*present .*\n1+ .*done .*\nPulled x\/y: 5\.0 MiB in .* s\n$/);
  const quiet = await cli(['pull', '-q', '--address', server.address, 'x/y']);
  t.deepEqual(quiet, { code: 0, stdout: 'sha256:1\n', stderr: '' });
});

test('A pull that ends early fails', async (t) => {
  const refuse = Object.assign(new Error('gone'), { code: status.NOT_FOUND });
  let answer: () => AsyncIterable<object>;
  const server = await scriptedServer(t, { pull: () => answer() });
  const run = () => cli(['pull', '--quiet', '--address', server.address, 'x/y']);
  answer = async function* () {
    yield { layers: updates[0] };
    await Promise.reject(refuse);
  };
  t.like(await run(), { code: 1, stdout: '', stderr: 'proxmox-lxcri: gone\n' });
  answer = async function* () {
    yield await Promise.resolve({ layers: updates[0] });
  };
  t.like(await run(), { code: 1, stderr: 'proxmox-lxcri: the server ended the pull without a result\n' });
});

test('pull works with a server that has only CRI', async (t) => {
  const server = await scriptedServer(t, {
    imageStatus: () => ({ image }),
    pullImage: () => ({ imageRef: 'sha256:1' }),
  });
  t.like(await cli(['pull', '--address', server.address, 'x/y']), { code: 0, stdout: 'sha256:1\n' });
});

test('progress in bytes has a rate and the time that is left', (t) => {
  t.is(progressText(2 ** 20, 4 * 2 ** 20, 500), '1.0 MiB / 4.0 MiB  2.0 MiB/s  2 s left');
  t.is(progressText(2 ** 20, undefined, 500), '1.0 MiB  2.0 MiB/s');
  t.is(progressText(0, 10, 0), '0 B / 10 B  0 B/s');
  t.is(progressText(2 ** 20, 201 * 2 ** 20, 1000), '1.0 MiB / 201.0 MiB  1.0 MiB/s  3 min 20 s left');
  t.regex(progressText(2 ** 20, 2 ** 34, 1000), /  4 h 33 min left$/);
});

test('progress is a line that is redrawn, or one every ten seconds', (t) => {
  const draw = (isTTY: boolean) => {
    const output = Object.assign(new PassThrough(), { isTTY, columns: 14 });
    let now = 0;
    const line = new ProgressLine(output, () => now);
    for (; now <= 21_000; now += 100) line.update(now * 1000, 30_000_000);
    line.end();
    return String(output.read());
  };
  t.deepEqual(draw(false).split('\n').length, 3);
  t.regex(draw(false), /^9\.5 MiB \/ 28\.6 MiB  .*/);
  t.is(draw(true).split('\r\u001b[K').length, 108);
  t.true(draw(true).endsWith('20.0 MiB / 2…\r\u001b[K'));
});
