import { isScalar, parse as parseYaml } from 'yaml';
import * as z from 'zod';
import { hookNames } from '../../core/model/container-devices.ts';
import type { ContainerEdits } from '../../core/model/container-devices.ts';
import { deviceName, devicesKind } from '../../core/model/device-name.ts';
import { formatPlace, messageOf } from '../../utils/errors.ts';

/** A CDI specification file: the devices of one kind. */
export interface CdiSpec {
  kind: string;
  /** What each container with one of the devices needs. */
  edits: ContainerEdits;
  /** By name. */
  devices: Map<string, ContainerEdits>;
}

/** Released versions; each has what its predecessors have. */
const versions = ['0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0'];

const line = z.string().regex(/^[^\0\n\r]*$/, 'must be one line');
const absolute = line.regex(/^\//, 'must be an absolute path');
const variable = z.string().regex(/^[^=\0]+=[^\0]*$/, 'must look like "NAME=value"');
const id = z.number().int().min(0).max(4_294_967_294);
const deviceNumber = z.number().int().min(0).max(0xffff_ffff);
const annotations = z.record(z.string(), z.string()).optional();

const deviceNode = z.strictObject({
  path: absolute,
  hostPath: absolute.optional(),
  type: z.enum(['b', 'c', 'u', 'p', '']).optional(),
  major: deviceNumber.optional(),
  minor: deviceNumber.optional(),
  fileMode: z.number().int().min(0).max(0o7777).optional(),
  permissions: z
    .string()
    .regex(/^[rwm]{0,3}$/, 'must consist of r, w and m')
    .optional(),
  uid: id.optional(),
  gid: id.optional(),
});

const mount = z
  .strictObject({
    hostPath: line.min(1),
    containerPath: absolute,
    type: line.optional(),
    options: z.array(line).optional(),
  })
  .refine(
    ({ hostPath, type = '' }) => hostPath.startsWith('/') || !['', 'bind', 'none'].includes(type),
    'a bind mount requires an absolute "hostPath"',
  );

const hook = z.strictObject({
  hookName: z.enum(hookNames),
  path: absolute,
  args: z.array(z.string()).optional(),
  env: z.array(variable).optional(),
  timeout: z.number().int().min(1).max(86_400).optional(),
});

const containerEdits = z.strictObject({
  env: z.array(variable).optional(),
  deviceNodes: z.array(deviceNode).optional(),
  netDevices: z.array(z.unknown()).optional(),
  mounts: z.array(mount).optional(),
  hooks: z.array(hook).optional(),
  intelRdt: z.record(z.string(), z.unknown()).optional(),
  additionalGids: z.array(id).optional(),
});

const document = z.strictObject({
  cdiVersion: z.enum(versions),
  kind: z.string().regex(devicesKind, 'must look like "vendor.com/class"'),
  annotations,
  containerEdits: containerEdits.optional(),
  devices: z
    .array(
      z.strictObject({
        name: z.string().regex(deviceName, 'must be letters, digits and . _ : -, with a letter or digit at both ends'),
        annotations,
        containerEdits,
      }),
    )
    .min(1, 'must have at least one device'),
});

/**
 * Parses a specification file, version 0.3.0 to 1.1.0; unknown keys are refused, since ignoring them would change the
 * result. @throws Error with location and reason.
 */
export function parseCdiSpec(text: string, format: 'json' | 'yaml'): CdiSpec {
  const result = document.safeParse(format === 'json' ? JSON.parse(text) : yaml(text));
  if (!result.success) {
    const [issue] = result.error.issues;
    const path = formatPlace(issue?.path ?? []);
    throw new Error(path === '' ? (issue?.message ?? 'is wrong') : `${path}: ${issue?.message ?? 'is wrong'}`);
  }
  const { kind, devices, containerEdits: shared } = result.data;
  const byName = new Map<string, ContainerEdits>();
  for (const { name, containerEdits: own } of devices) {
    if (byName.has(name)) throw new Error(`devices: duplicate ${JSON.stringify(name)}`);
    byName.set(name, toEdits(`${kind}=${name}`, own));
  }
  return { kind, edits: toEdits(kind, shared ?? {}), devices: byName };
}

/** Comparisons of keys: the parser compares each one with all others of its table. */
const MAX_COMPARISONS = 1_000_000;

/** YAML 1.1, as the tools that write these files have it: `fileMode: 0660` is octal. */
function yaml(text: string): unknown {
  let compared = 0;
  const uniqueKeys = (a: unknown, b: unknown) => {
    if (++compared > MAX_COMPARISONS) throw new Error('it has too many keys');
    return isScalar(a) && isScalar(b) && a.value === b.value;
  };
  try {
    // With the level "silent" the parser would pass over errors, too, and return what it made of the rest.
    return parseYaml(text, { version: '1.1', strict: true, uniqueKeys, logLevel: 'error', maxAliasCount: 100 });
  } catch (error) {
    const [words = ''] = messageOf(error).split('\n', 1);
    throw new Error(`is not valid YAML: ${words.replace(/:$/, '')}`, { cause: error });
  }
}

function toEdits(of: string, edits: z.output<typeof containerEdits>): ContainerEdits {
  const { env = [], deviceNodes = [], mounts = [], hooks = [], additionalGids = [], netDevices = [], intelRdt } = edits;
  return {
    of,
    env,
    deviceNodes: deviceNodes.map((node) => ({
      path: node.path,
      hostPath: node.hostPath,
      // "u" is a character device, too (mknod(1)).
      type: node.type === 'u' ? 'c' : node.type || undefined,
      major: node.major,
      minor: node.minor,
      fileMode: node.fileMode,
      permissions: node.permissions || undefined,
      uid: node.uid,
      gid: node.gid,
    })),
    mounts: mounts.map(({ hostPath, containerPath, type, options = [] }) => {
      return { hostPath, containerPath, type: type || undefined, options };
    }),
    hooks: hooks.map(({ hookName, path, args, env: variables, timeout }) => ({
      hookName,
      path,
      ...(args !== undefined && { args }),
      ...(variables !== undefined && { env: variables }),
      ...(timeout !== undefined && { timeout }),
    })),
    additionalGids,
    unsupported: [...(intelRdt === undefined ? [] : ['intelRdt']), ...(netDevices.length === 0 ? [] : ['netDevices'])],
  };
}
