import type { Release } from '../../api/params/property.ts';

/** A version of QEMU or of a machine: what counts of `10.0.2` or `10.0+pve1`. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  /** Proxmox's own revision of a machine. */
  readonly pve: number;
}

/** The newest of Proxmox's own revisions of a machine, by QEMU's version. */
const REVISIONS: Readonly<Record<Release, Readonly<Record<string, number>>>> = {
  '8.4': { '4.1': 2, '9.2': 1 },
  '9.2': { '4.1': 2, '9.2': 1, '10.0': 1, '11.0': 2 },
};

/** The version that `text` begins with; undefined for what is none. */
export function parseVersion(text: string): Version | undefined {
  const [, major, minor, pve = '0'] = /^(\d+)\.(\d+)(?:\.\d+)?(?:\+pve(\d+))?/.exec(text) ?? [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor), pve: Number(pve) };
}

/** Whether `version` is the one that the numbers say, or a later one. */
export function atLeast(version: Version, major: number, minor: number, pve = 0): boolean {
  return (version.major - major || version.minor - minor || version.pve - pve) >= 0;
}

/** The machine of one virtual machine: its type with versions, and what is asked of it. */
export class MachineVersion {
  /** The machine's type as the configuration has it, such as `pc`, `q35` or `pc-i440fx-9.2+pve1`. */
  readonly type: string;
  readonly version: Version;
  readonly #release: Release;
  #required = 0;

  /**
   * @param type of the configuration
   * @param qemu version of the program
   * @throws Error with the node's text when the program is too old for the machine.
   */
  constructor(type: string, qemu: string, release: Release) {
    this.#release = release;
    this.type = type;
    const own = parseVersion(/^pc-(?:i440fx|q35)-(.*)$|^pc-(\d.*)$/.exec(type)?.slice(1).find(Boolean) ?? '');
    const program = parseVersion(qemu)!;
    this.version = own ?? { ...program, pve: this.#newest(program.major, program.minor) };
    const { major, minor, pve } = this.version;
    if (!atLeast(program, major, minor))
      throw new Error(`Installed QEMU version '${qemu}' is too old to run machine type '${this.#pinned}'`);
    const newest = this.#newest(major, minor);
    if (pve > newest) {
      const level = `max feature level for ${major}.${minor} is pve${newest}`;
      throw new Error(`Installed qemu-server (${level}) is too old to run machine type '${this.#pinned}'`);
    }
  }

  get q35(): boolean {
    return this.type.includes('q35');
  }

  atLeast(major: number, minor: number, pve = 0): boolean {
    return atLeast(this.version, major, minor, pve);
  }

  /** Whether the machine has a feature that came with a revision; one that does is asked of the started machine. */
  guard(major: number, minor: number, pve = 0): boolean {
    if (!this.atLeast(major, minor, pve)) return false;
    if (!this.atLeast(major, minor, this.#newest(major, minor) + 1)) this.#required = Math.max(this.#required, pve);
    return true;
  }

  /** The type for the command line: with the lowest revision that has everything that {@link guard} was asked for. */
  get least(): string {
    return `${this.type.replace(/\+pve\d+(?=$|\.pxe$)/, '')}+pve${this.#required}`;
  }

  get #pinned(): string {
    return this.type.includes('+pve') ? this.type : `${this.type}+pve${this.version.pve}`;
  }

  #newest(major: number, minor: number): number {
    return REVISIONS[this.#release][`${major}.${minor}`] ?? 0;
  }
}
