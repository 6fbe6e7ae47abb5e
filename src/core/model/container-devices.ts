/** A device node to create in a container. Undefined values are those of the node's device. */
export interface DeviceNodeEdit {
  /** Path in the container. */
  path: string;
  /** The node's device; undefined: the same path. */
  hostPath: string | undefined;
  type: 'b' | 'c' | 'p' | undefined;
  major: number | undefined;
  minor: number | undefined;
  fileMode: number | undefined;
  /** Of r, w and m; undefined: all. */
  permissions: string | undefined;
  uid: number | undefined;
  gid: number | undefined;
}

/** The hooks of the OCI runtime specification. */
export const hookNames = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;
export type HookName = (typeof hookNames)[number];

/** The edits of a container's configuration for a device; fields are those of CDI's containerEdits. */
export interface ContainerEdits {
  /** The device or kind of devices, for errors. */
  of: string;
  /** `NAME=value`. */
  env: string[];
  deviceNodes: DeviceNodeEdit[];
  mounts: { hostPath: string; containerPath: string; type: string | undefined; options: string[] }[];
  hooks: { hookName: HookName; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids: number[];
  /** Name of an unsupported edit. */
  unsupported: string[];
}

/** Finds devices by name (Container Device Interface). */
export interface DeviceRegistry {
  /**
   * The edits of devices in the order they apply: for each one those of its kind, once, then its own.
   * @param names fully qualified, `vendor/class=device`.
   * @throws CriError FAILED_PRECONDITION naming missing devices, and the problems of files that may have them.
   */
  edits(names: readonly string[]): Promise<ContainerEdits[]>;
}
