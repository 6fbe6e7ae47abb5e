import { createHash } from 'node:crypto';
import { fault } from '../../http/api-error.ts';
import { elements } from '../params/formats.ts';
import type { Schema } from '../params/property.ts';
import type { Call, Method, Permission } from '../method.ts';

/** Entries of one configuration file of the cluster: by name, with flat values. */
export interface EntryKind {
  /** The list's path. */
  readonly path: string;
  /** The parameter that names an entry. */
  readonly key: string;
  readonly entries: (call: Call) => Record<string, Record<string, string | number>>;
  readonly look: Permission;
  readonly change: Permission;
  readonly parameters: Schema;
  /** Parameters that only creation has, or needs. */
  readonly creation: Schema;
  /** Values that an entry has of itself. */
  readonly standard?: (name: string) => Record<string, string | number>;
  /** Whether answers have a digest; true unless said otherwise. */
  readonly guarded?: boolean;
  readonly missing: (name: string) => string;
  readonly taken: (name: string) => string;
  /** Says why an entry cannot be as `values`. */
  readonly refuse?: (call: Call, name: string) => string | undefined;
  /** Removes or adds what follows from the values that a change has given. */
  readonly settle?: (values: Record<string, string | number>, given: Record<string, string | number>) => void;
  /** The entry that a name given with a creation becomes. */
  readonly nameOf?: (call: Call) => string;
}

function shown(kind: EntryKind, name: string, values: Record<string, string | number>): Record<string, unknown> {
  const digest = createHash('sha1').update(JSON.stringify(values)).digest('hex');
  return { [kind.key]: name, ...values, ...(kind.guarded === false ? {} : { digest }) };
}

function find(kind: EntryKind, call: Call): { name: string; values: Record<string, string | number> } {
  const name = kind.nameOf?.(call) ?? String(call.params[kind.key]);
  const values = kind.entries(call)[name];
  if (values === undefined) throw fault(kind.missing(name));
  return { name, values };
}

function given(kind: EntryKind, { params }: Call): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(params).filter(([key]) => ![kind.key, 'delete', 'digest', 'purge'].includes(key)),
  );
}

/** List, read, create, change and delete of such entries. */
export function entryMethods(kind: EntryKind): Method[] {
  const one = `${kind.path}/{${kind.key}}`;
  return [
    {
      verb: 'GET',
      path: kind.path,
      permission: kind.look,
      parameters: Object.fromEntries(
        Object.entries(kind.creation)
          .filter(([name]) => name === 'type' && kind.key !== 'vnet')
          .map(([name, { required: _required, ...property }]) => [name, property]),
      ),
      handle: (call) =>
        Object.entries(kind.entries(call))
          .map(([name, values]) => shown(kind, name, values))
          .filter(
            (entry: Record<string, unknown>) =>
              call.params['type'] === undefined || entry['type'] === call.params['type'],
          ),
    },
    {
      verb: 'POST',
      path: kind.path,
      permission: kind.change,
      protected: true,
      parameters: { ...kind.parameters, ...kind.creation },
      handle: (call) => {
        const name = kind.nameOf?.(call) ?? String(call.params[kind.key]);
        const entries = kind.entries(call);
        if (entries[name] !== undefined) throw fault(kind.taken(name));
        const refusal = kind.refuse?.(call, name);
        if (refusal !== undefined) throw fault(refusal);
        const values = given(kind, call);
        entries[name] = { ...kind.standard?.(name), ...values };
        kind.settle?.(entries[name], values);
      },
    },
    {
      verb: 'GET',
      path: one,
      permission: kind.look,
      handle: (call) => {
        const { name, values } = find(kind, call);
        return shown(kind, name, values);
      },
    },
    {
      verb: 'PUT',
      path: one,
      permission: kind.change,
      protected: true,
      parameters: {
        ...kind.parameters,
        delete: { type: 'string' },
        ...(kind.guarded === false ? {} : { digest: { type: 'string' } }),
      },
      handle: (call) => {
        const { values } = find(kind, call);
        for (const key of elements(call.params['delete'])) Reflect.deleteProperty(values, key);
        const changes = given(kind, call);
        Object.assign(values, changes);
        kind.settle?.(values, changes);
      },
    },
    {
      verb: 'DELETE',
      path: one,
      permission: kind.change,
      protected: true,
      ...(kind.key === 'sid' ? { parameters: { purge: { type: 'boolean', only: '9' } } } : {}),
      handle: (call) => {
        const { name } = find(kind, call);
        Reflect.deleteProperty(kind.entries(call), name);
      },
    },
  ];
}
