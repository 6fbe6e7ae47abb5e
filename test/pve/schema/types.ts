/** One value as Proxmox VE's API schema describes it (PVE::JSONSchema in its JSON form); flags are 0 or 1. */
export interface ValueSchema {
  type?: string;
  optional?: number;
  /** The name of a format, or the keys of a property string. */
  format?: string | PropertyFormat;
  pattern?: string;
  enum?: readonly (string | number)[];
  minimum?: number | string;
  maximum?: number | string;
  minLength?: number;
  maxLength?: number;
  properties?: Record<string, ValueSchema>;
  items?: ValueSchema;
  additionalProperties?: number | ValueSchema;
  requires?: string | ValueSchema;
  /** Alternatives by the value of the sibling `type-property`; each names the values it serves in `instance-types`. */
  oneOf?: readonly ValueSchema[];
  allOf?: readonly ValueSchema[];
  'instance-types'?: readonly string[];
  'type-property'?: string;
  /** In a property string: the key a value without a key belongs to. */
  default_key?: number;
  /** In a property string: the key this one stands for. */
  alias?: string;
  /** In a property string: where the name of the alias that was used is kept. */
  keyAlias?: string;
}

/** The keys of a property string (`name=eth0,bridge=vmbr0`). */
export type PropertyFormat = Record<string, ValueSchema>;

/** What is wrong, by the place it is wrong at (`net0`, `[2].vmid`, `_root`), in Proxmox's own words. */
export type Problems = Map<string, string>;

/** Adds a problem; several at one place are joined by a literal `\n`, as Proxmox joins them. */
export function addProblem(problems: Problems, place: string, text: string): void {
  const at = place || '_root';
  const before = problems.get(at);
  problems.set(at, before === undefined ? text : `${before}\\n${text}`);
}
