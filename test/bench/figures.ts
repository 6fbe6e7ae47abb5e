/** One figure, such as "ExecSync, 8 at once": samples by contender. */
export class Figures {
  readonly #samples = new Map<string, Map<string, number[]>>();

  add(figure: string, contender: string, value: number): void {
    const of = this.#samples.get(figure) ?? new Map<string, number[]>();
    of.set(contender, [...(of.get(contender) ?? []), value]);
    this.#samples.set(figure, of);
  }

  median(figure: string, contender: string): number {
    return quantile(this.#samples.get(figure)?.get(contender) ?? [], 0.5);
  }

  /**
   * A Markdown table of the figures whose names begin with `prefix`: median, 90th and 99th percentile where there are enough
   * samples, and the ratio of medians to `reference`.
   */
  table(prefix: string, contenders: readonly string[], reference: string): string {
    const rows = [...this.#samples].filter(([name]) => name.startsWith(prefix));
    const cell = (samples: number[] | undefined, base: number) => {
      if (samples === undefined) return '';
      const shown = samples.length < 8 ? [0.5] : [0.5, 0.9, 0.99];
      const text = shown.map((q) => plain(quantile(samples, q))).join('/');
      const ratio = quantile(samples, 0.5) / base;
      return Number.isFinite(ratio) ? `${text} (${ratio.toFixed(2)})` : text;
    };
    const lines = rows.map(([name, of]) => {
      const base = quantile(of.get(reference) ?? [], 0.5);
      return [name.slice(prefix.length), ...contenders.map((each) => cell(of.get(each), base))];
    });
    const all = [['', ...contenders], ['---', ...contenders.map(() => '---')], ...lines];
    return all.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  }
}

export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

const plain = (value: number) => (Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0));

const COLOURS = ['#1b6ca8', '#58a4d6', '#c0392b', '#e59866', '#7d6608', '#8e8e8e', '#444'];
const [LABELS, BARS, ROW, GAP] = [230, 430, 11, 14];
/** Of the legend. */
const [ACROSS, LINE, WIDE] = [4, 14, 120];

/** An SVG of bars: for each named figure the contenders' medians as ratios to those of `reference`, cut at `most`. */
export function plot(
  figures: Figures,
  {
    names,
    contenders,
    reference,
    most = 3,
  }: { names: string[]; contenders: string[]; reference: string; most?: number },
): string {
  const parts: string[] = [];
  const x = (ratio: number) => LABELS + (Math.min(ratio, most) / most) * BARS;
  let y = 24 + LINE * Math.ceil(contenders.length / ACROSS);
  for (const name of names) {
    const base = figures.median(name, reference);
    const rows = contenders.filter((each) => Number.isFinite(figures.median(name, each) / base));
    if (rows.length === 0) continue;
    parts.push(`<text x="${String(LABELS - 8)}" y="${String(y + 9)}" text-anchor="end">${name}</text>`);
    for (const each of rows) {
      const ratio = figures.median(name, each) / base;
      const colour = COLOURS[contenders.indexOf(each) % COLOURS.length]!;
      const width = (x(ratio) - LABELS).toFixed(1);
      parts.push(
        `<rect x="${String(LABELS)}" y="${String(y)}" width="${width}" height="${String(ROW - 2)}" fill="${colour}"/>`,
        `<text x="${(x(ratio) + 4).toFixed(1)}" y="${String(y + 8)}" font-size="9">${ratio.toFixed(2)}</text>`,
      );
      y += ROW;
    }
    y += GAP;
  }
  const legend = contenders.map((each, index) => {
    const [at, down] = [LABELS + (index % ACROSS) * WIDE, 8 + Math.floor(index / ACROSS) * LINE];
    const colour = COLOURS[index % COLOURS.length]!;
    return `<rect x="${String(at)}" y="${String(down)}" width="9" height="9" fill="${colour}"/><text x="${String(at + 13)}" y="${String(down + 8)}">${each}</text>`;
  });
  const one = x(1).toFixed(1);
  const [width, height] = [LABELS + BARS + 50, y];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(width)}" height="${String(height)}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...legend,
    ...parts,
    `<line x1="${one}" y1="${String(12 + LINE * Math.ceil(contenders.length / ACROSS))}" x2="${one}" y2="${String(height - 6)}" stroke="black" stroke-dasharray="3 3"/>`,
    '</svg>\n',
  ].join('\n');
}
