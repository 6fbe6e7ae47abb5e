/** A device node to make in a container. What is undefined is that of the node's own device. */
export interface DeviceNodeEdit {
  /** Where the container sees it. */
  path: string;
  /** The node's device; undefined: the same path. */
  hostPath: string | undefined;
  type: 'b' | 'c' | 'p' | undefined;
  major: number | undefined;
  minor: number | undefined;
  fileMode: number | undefined;
  /** Made of r, w and m; undefined: all. */
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

/** What a device needs in the configuration of its container; fields are those of CDI's containerEdits. */
export interface ContainerEdits {
  /** Whose edits they are, for errors: a device or a kind of devices. */
  of: string;
  /** `NAME=value`. */
  env: string[];
  deviceNodes: DeviceNodeEdit[];
  mounts: { hostPath: string; containerPath: string; type: string | undefined; options: string[] }[];
  hooks: { hookName: HookName; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids: number[];
  /** What is asked for beyond that and cannot be done here, by its name. */
  unsupported: string[];
}

/** Finds devices by name (Container Device Interface). */
export interface DeviceRegistry {
  /**
   * The edits of devices in the order they apply: for each one those of its kind, once, then its own.
   * @param names fully qualified, `vendor/class=device`.
   * @throws CriError FAILED_PRECONDITION naming the devices that are not there, and what is wrong with files that may have them.
   */
  edits(names: readonly string[]): Promise<ContainerEdits[]>;
}
