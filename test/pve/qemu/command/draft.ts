import type { HostFacts } from './host.ts';
import { PciSlots } from './pci.ts';
import type { MachineVersion } from './version.ts';

/** A command line that is being written: its parts come in the order in which the node puts them together. */
export class Draft {
  readonly vmid: number;
  /** The configuration's values by key. */
  readonly values: Readonly<Record<string, string>>;
  readonly host: HostFacts;
  readonly machine: MachineVersion;
  readonly slots = new PciSlots();
  readonly #options: string[] = [];
  readonly #devices: string[] = [];
  /** Settings of `-machine` and `-rtc`. */
  readonly machineSettings: string[] = [];
  readonly clockSettings: string[] = [];

  constructor(vmid: number, values: Readonly<Record<string, string>>, host: HostFacts, machine: MachineVersion) {
    this.vmid = vmid;
    this.values = values;
    this.host = host;
    this.machine = machine;
  }

  /** The guest's name, or what the node calls one without. */
  get name(): string {
    return this.values['name'] ?? `vm${this.vmid}`;
  }

  /** Whether the kernel virtualizes this machine. */
  get kvm(): boolean {
    return this.values['kvm'] !== '0';
  }

  /** Adds options that come before the devices. */
  option(...options: string[]): void {
    this.#options.push(...options);
  }

  /** Adds options that are devices. */
  device(...options: string[]): void {
    this.#devices.push(...options);
  }

  /** Adds devices before all others. */
  deviceFirst(...options: string[]): void {
    this.#devices.unshift(...options);
  }

  /** Adds devices after the first option, which reads a file that makes their buses. */
  deviceSecond(...options: string[]): void {
    this.#devices.splice(2, 0, ...options);
  }

  /** The values of the options that were added before the devices; they are added no more. */
  takeOptions(): string[] {
    return this.#options.splice(0).filter((word) => !word.startsWith('-'));
  }

  /** The values of the devices that were added; they are added no more. */
  takeDevices(): string[] {
    return this.#devices.splice(0).filter((word) => !word.startsWith('-'));
  }

  /** A socket of the machine below the node's directory. */
  socket(extension: string): string {
    return `${this.host.run}/${this.vmid}.${extension}`;
  }

  /** The settings of a property string, empty where the configuration has none. A comma always separates. */
  settings(key: string, standard: string): Readonly<Record<string, string>> {
    const parts = (this.values[key] ?? '').split(',').filter((part) => part !== '');
    return Object.fromEntries(
      parts.map((part) => {
        const equals = part.indexOf('=');
        return equals > 0 ? [part.slice(0, equals), part.slice(equals + 1)] : [standard, part];
      }),
    );
  }

  /** The numbers of a family of keys that the configuration has, in order. */
  numbers(family: string): number[] {
    return Object.keys(this.values)
      .flatMap((key) => (key.startsWith(family) ? [key.slice(family.length)] : []))
      .filter((number) => /^\d+$/.test(number))
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** Everything after the program's name but what the configuration's `args` add. */
  get arguments(): string[] {
    return [
      ...this.#options,
      ...this.#devices,
      ...(this.clockSettings.length === 0 ? [] : ['-rtc', this.clockSettings.join(',')]),
      '-machine',
      this.machineSettings.join(','),
    ];
  }
}
