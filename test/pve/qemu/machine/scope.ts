import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
const SLICE = join(ROOT, 'qemu.slice');
const CONTROLLERS = '+cpu +io +memory';
/** The span of processor time that a limit counts in, in microseconds. */
const PERIOD = 100_000;
const STANDARD_WEIGHT = 100;
/** How often a cgroup is looked at whose processes end, in milliseconds. */
const LOOK_MS = 10;

/** The cgroup of one machine, as systemd makes it on a node: `qemu.slice/VMID.scope`. */
export class Scope {
  readonly path: string;

  constructor(vmid: number) {
    this.path = join(SLICE, `${vmid}.scope`);
  }

  /** Makes it, with the limits of the configuration. @throws Error when the kernel refuses them. */
  make(values: Readonly<Record<string, string>>): void {
    mkdirSync(SLICE, { recursive: true });
    for (const above of [ROOT, SLICE]) writeFileSync(join(above, 'cgroup.subtree_control'), CONTROLLERS);
    mkdirSync(this.path, { recursive: true });
    this.limit(values);
  }

  /** Sets the limits of the configuration. */
  limit({ cpulimit = '0', cpuunits }: Readonly<Record<string, string>>): void {
    const share = Number(cpulimit);
    this.#write('cpu.max', `${share > 0 ? Math.round(share * PERIOD) : 'max'} ${PERIOD}`);
    this.#write('cpu.weight', cpuunits ?? String(STANDARD_WEIGHT));
  }

  /** Removes it, when the last thread in it has ended: a moment after its process cannot be seen any more. */
  async remove(): Promise<void> {
    while (/^populated 1$/m.test(this.#read('cgroup.events'))) await sleep(LOOK_MS);
    await rmdir(this.path).catch(() => undefined);
  }

  /** Bytes of memory without what is a cache of files. */
  get memory(): number {
    const file = Number(/^file (\d+)$/m.exec(this.#read('memory.stat'))?.[1] ?? 0);
    return Math.max(0, Number(this.#read('memory.current')) - file);
  }

  /** Percent of the last ten seconds that something waited, by the names of the status. */
  get pressures(): Record<string, string> {
    return Object.fromEntries(
      ['cpu', 'io', 'memory'].flatMap((name) => {
        const text = this.#read(`${name}.pressure`);
        return ['some', 'full'].map((kind) => [
          `pressure${name}${kind}`,
          new RegExp(`^${kind} avg10=([\\d.]+)`, 'm').exec(text)?.[1] ?? '0.00',
        ]);
      }),
    );
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.path, file), text);
  }

  #read(file: string): string {
    try {
      return readFileSync(join(this.path, file), 'utf8');
    } catch {
      // It goes with its machine.
      return '';
    }
  }
}
