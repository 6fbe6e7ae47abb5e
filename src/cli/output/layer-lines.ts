import { type LayerProgress, LayerState } from '../../../api/gen/cri.ts';
import type { OutputStream } from '../command.ts';
import { cut } from './table.ts';
import { formatBytes, shortId } from './units.ts';

const NAMES: Record<number, string> = {
  [LayerState.LAYER_STATE_WAITING]: 'waiting',
  [LayerState.LAYER_STATE_DOWNLOADING]: 'downloading',
  [LayerState.LAYER_STATE_DOWNLOADED]: 'downloaded',
  [LayerState.LAYER_STATE_UNPACKING]: 'unpacking',
  [LayerState.LAYER_STATE_DONE]: 'done',
  [LayerState.LAYER_STATE_PRESENT]: 'already present',
};
const WIDEST = Math.max(...Object.values(NAMES).map(({ length }) => length));

/** A layer in a line of at most `width` characters: id, state, and its bytes; while it is received, also those received. */
export function layerLine({ digest, size, received, state }: LayerProgress, width = Infinity): string {
  const bytes = state === LayerState.LAYER_STATE_DOWNLOADING ? `${formatBytes(received)} / ` : '';
  const name = (NAMES[state] ?? '').padEnd(WIDEST);
  return cut(`${shortId(digest, false)}  ${name}  ${bytes}${formatBytes(size)}`, width);
}

/**
 * Shows the layers of a pull: on a terminal a line each that is redrawn, elsewhere a line for each layer that is complete.
 * Never more lines than the terminal has: complete layers scroll away above the others.
 */
export class LayerLines {
  readonly #output: OutputStream;
  readonly #layers = new Map<number, LayerProgress>();
  readonly #complete = new Set<number>();
  /** Lines that the next drawing replaces. */
  #drawn = 0;

  constructor(output: OutputStream) {
    this.#output = output;
  }

  /** Shows layers that have changed. */
  update(layers: readonly LayerProgress[]): void {
    for (const layer of layers) this.#layers.set(layer.index, layer);
    const complete = [...this.#layers.values()].filter(isComplete).filter(({ index }) => !this.#complete.has(index));
    for (const { index } of complete) this.#complete.add(index);
    if (this.#output.isTTY !== true) {
      for (const layer of complete) this.#output.write(`${layerLine(layer)}\n`);
      return;
    }
    const { columns = 80, rows = 24 } = this.#output;
    // The last column stays free, since terminals wrap differently there.
    const width = Math.max(1, columns - 1);
    const open = [...this.#layers.values()].filter(({ index }) => !this.#complete.has(index));
    open.sort((a, b) => a.index - b.index);
    const room = Math.max(1, rows - 2);
    const lines = open.slice(0, room).map((layer) => layerLine(layer, width));
    if (open.length > room) lines.push(cut(`and ${String(open.length - room)} more`, width));
    const done = complete.map((layer) => layerLine(layer, width));
    // ECMA-48: up to the first line that is replaced, and erase everything below.
    const back = this.#drawn === 0 ? '' : `\u001b[${String(this.#drawn)}A\u001b[J`;
    this.#output.write(`${back}${[...done, ...lines].map((line) => `${line}\n`).join('')}`);
    this.#drawn = lines.length;
  }
}

function isComplete({ state }: LayerProgress): boolean {
  return state === LayerState.LAYER_STATE_DONE || state === LayerState.LAYER_STATE_PRESENT;
}
