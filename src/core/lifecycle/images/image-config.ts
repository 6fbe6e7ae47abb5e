import { createHash } from 'node:crypto';
import * as z from 'zod';
import { CriError, StatusCode } from '../../model/errors.ts';
import type { ImageConfig } from '../../model/image.ts';
import { formatPlace } from '../../../utils/errors.ts';
import { hasMoreValuesThan } from '../../../utils/json.ts';

/** Values in an image configuration, such as labels and variables: real ones have hundreds, and each takes microseconds. */
const MAX_VALUES = 20_000;

/** Characters of a user with its group; useradd(8) allows 32 for each name. */
const MAX_USER = 1024;

// None of these can be passed to execve(2) with a NUL inside.
const text = z.string().refine((value) => !value.includes('\0'), 'must not contain a NUL byte');
const optionalText = text.nullish().transform((value) => value ?? '');
const texts = z
  .array(text)
  .nullish()
  .transform((value) => value ?? []);
const keys = z
  .record(text, z.unknown())
  .nullish()
  .transform((value) => Object.keys(value ?? {}).sort());

const processConfig = z.object({
  User: optionalText.refine((user) => user.length <= MAX_USER, `must not be longer than ${MAX_USER} characters`),
  Env: texts,
  Entrypoint: texts,
  Cmd: texts,
  WorkingDir: optionalText,
  Volumes: keys,
  StopSignal: optionalText,
  Labels: z
    .record(z.string(), z.string())
    .nullish()
    .transform((value) => value ?? {}),
  ExposedPorts: keys,
});

const imageConfig = z.object({
  architecture: optionalText,
  os: optionalText,
  config: processConfig.nullish().transform((value) => value ?? processConfig.parse({})),
  // Go writes empty values as null, or omits them.
  rootfs: z
    .object({
      type: z.enum(['layers', '']).nullish(),
      diff_ids: z
        .array(z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be a sha256 digest'))
        .nullish()
        .transform((value) => value ?? []),
    })
    .nullish(),
});

/**
 * Reads an image configuration (OCI image specification, config.md; Docker's is the same in what is read here).
 * @throws CriError INVALID_ARGUMENT that names the problem.
 */
export function parseImageConfig(document: Buffer): ImageConfig {
  let json: unknown;
  try {
    json = JSON.parse(document.toString('utf8'));
  } catch (cause) {
    throw new CriError(StatusCode.INVALID_ARGUMENT, 'image configuration: is not a JSON document', { cause });
  }
  if (hasMoreValuesThan(json, MAX_VALUES)) {
    throw new CriError(StatusCode.INVALID_ARGUMENT, `image configuration: has more than ${MAX_VALUES} values`);
  }
  const parsed = imageConfig.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = formatPlace(issue?.path ?? []) || 'document';
    throw new CriError(
      StatusCode.INVALID_ARGUMENT,
      `image configuration: ${where}: ${issue?.message ?? 'is malformed'}`,
    );
  }
  const { architecture, os, config, rootfs } = parsed.data;
  return { architecture, os, config, diffIds: rootfs?.diff_ids ?? [] };
}

/** Chain ids of the layers, lowest first (OCI image specification, "Layer ChainID"). */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(
      parent === undefined ? diffId : `sha256:${createHash('sha256').update(`${parent} ${diffId}`).digest('hex')}`,
    );
  }
  return chain;
}
