import { Field, FieldOwners, OwningPlugins } from '../../../../api/gen/nri.ts';
import { CriError, StatusCode } from '../../../core/model/errors.ts';

/** Key of fields with one value. */
const WHOLE = '';

/** Which plugin has changed what, by container: two plugins must not change the same. */
export class Owners {
  readonly #containers = new Map<string, Map<Field, Map<string, string>>>();

  /**
   * Records that a plugin changes a field, or an entry of it.
   * @throws CriError UNKNOWN naming both plugins when another one has.
   */
  claim(containerId: string, field: Field, plugin: string, key = WHOLE): void {
    const owners = this.#of(containerId, field);
    const other = owners.get(key);
    if (other !== undefined && other !== plugin) {
      const what = key === WHOLE ? nameOf(field) : `${nameOf(field)} ${JSON.stringify(key)}`;
      const message = `NRI plugins ${other} and ${plugin} both want to set ${what} of container ${containerId}`;
      throw new CriError(StatusCode.UNKNOWN, message);
    }
    owners.set(key, plugin);
  }

  /** The same for a field to which every plugin may add. */
  share(containerId: string, field: Field, plugin: string): void {
    const owners = this.#of(containerId, field);
    const others = owners.get(WHOLE);
    if (others?.split(',').includes(plugin) !== true)
      owners.set(WHOLE, others === undefined ? plugin : `${others},${plugin}`);
  }

  /** A plugin removes what another one has set, which it, or a later one, may then set. */
  release(containerId: string, field: Field, key = WHOLE): void {
    this.#of(containerId, field).delete(key);
  }

  /** The owners of a field's entries, by key; of one with one value the key is empty. */
  owners(containerId: string, field: Field): ReadonlyMap<string, string> {
    return this.#containers.get(containerId)?.get(field) ?? new Map<string, string>();
  }

  /** The message for validators. */
  toMessage(): OwningPlugins {
    const containers = OwningPlugins.create({});
    for (const [id, fields] of this.#containers) {
      const message = FieldOwners.create({});
      for (const [field, owners] of fields) {
        const whole = owners.get(WHOLE);
        if (whole !== undefined) message.simple[field] = whole;
        else if (owners.size > 0) message.compound[field] = { owners: Object.fromEntries(owners) };
      }
      containers.owners[id] = message;
    }
    return containers;
  }

  #of(containerId: string, field: Field): Map<string, string> {
    const fields = this.#containers.get(containerId) ?? new Map<Field, Map<string, string>>();
    this.#containers.set(containerId, fields);
    const owners = fields.get(field) ?? new Map<string, string>();
    fields.set(field, owners);
    return owners;
  }
}

function nameOf(field: Field): string {
  return Object.entries(Field).find(([, number]) => number === field)?.[0] ?? String(field);
}
