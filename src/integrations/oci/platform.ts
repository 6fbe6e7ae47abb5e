import { CriError, invalidArgument, StatusCode } from '../../core/model/errors.ts';
import { machineLevel } from './cpu-level.ts';
import { type Descriptor, INDEX_TYPES } from './manifest.ts';

/** The target of an image's build (OCI image specification, image-index.md). */
export interface Platform {
  os: string;
  architecture: string;
  /** Best first; empty: any. */
  variants: string[];
}

/** Node.js's processor names in OCI's terms, which are Go's. */
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };

/**
 * Parses `linux/arm/v7`; the empty string stands for this machine. ARM and amd64 processors also run images for older
 * ones; without a variant, an amd64 platform has this machine's level.
 * @throws CriError INVALID_ARGUMENT for anything else.
 */
export function parsePlatform(text = ''): Platform {
  const machine = `linux/${ARCHITECTURES[process.arch] ?? process.arch}`;
  const match = /^(linux)\/([a-z0-9]+)(?:\/(v\d{1,2}))?$/.exec(text || machine);
  const [, os, architecture, variant] = match ?? [];
  if (os === undefined || architecture === undefined) {
    throw invalidArgument('images.platform', `${JSON.stringify(text)} is not a platform such as "linux/amd64"`);
  }
  return { os, architecture, variants: variantsOf(architecture, variant) };
}

/**
 * The entries of an index that may have the platform's image: the best one declared for it, else indexes without a
 * platform, in order.
 * @throws CriError NOT_FOUND with the available platforms when there is none.
 */
export function choosePlatform(entries: readonly Descriptor[], wanted: Platform): Descriptor[] {
  const { os, architecture, variants } = wanted;
  const manifests = entries.filter((each) => !isAttestation(each));
  const fitting = manifests.filter((each) => each.platform?.os === os && each.platform.architecture === architecture);
  const ranked = variants.flatMap((variant) => fitting.filter((each) => each.platform?.variant === variant));
  const plain = fitting.filter((each) => (each.platform?.variant ?? '') === '');
  const [best] = [...ranked, ...plain, ...(variants.length === 0 ? fitting : [])];
  if (best) return [best];
  // An index of one image without a platform, as some builders write, or of indexes.
  const unnamed = manifests.filter((each) => !each.platform);
  const nested = unnamed.filter(({ mediaType }) => INDEX_TYPES.includes(mediaType));
  if (manifests.length === 1 && unnamed.length === 1) return unnamed;
  if (nested.length > 0) return nested;
  const found = manifests.map(({ platform }) => (platform ? formatPlatform(platform) : 'unnamed')).join(', ');
  throw new CriError(
    StatusCode.NOT_FOUND,
    `the image has no variant for ${os}/${architecture}, only for: ${found.slice(0, 500) || 'nothing'}`,
  );
}

/** An attestation of a builder, which is not an image. */
export function isAttestation({ platform, annotations }: Descriptor): boolean {
  return annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' || platform?.os === 'unknown';
}

function variantsOf(architecture: string, variant: string | undefined): string[] {
  if (architecture === 'amd64') return descending(amd64Newest(variant), 1);
  if (architecture === 'arm64') return variant === undefined ? ['v8'] : [variant];
  if (architecture !== 'arm') return variant === undefined ? [] : [variant];
  const newest = levelOf(variant ?? 'v7');
  return descending(newest, Math.min(newest, 5));
}

/** Never above this machine's level: an image for a higher level starts, and fails at the first missing instruction. */
function amd64Newest(variant: string | undefined): number {
  const machine = process.arch === 'x64' ? machineLevel() : 1;
  return variant === undefined ? machine : Math.max(1, Math.min(levelOf(variant), machine));
}

function levelOf(variant: string): number {
  return Number(variant.slice(1));
}

function descending(newest: number, oldest: number): string[] {
  return Array.from({ length: newest - oldest + 1 }, (_, older) => `v${newest - older}`);
}

function formatPlatform({ os, architecture, variant }: NonNullable<Descriptor['platform']>): string {
  return [os, architecture, variant].filter(Boolean).join('/');
}
