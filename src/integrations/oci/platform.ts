import { CriError, invalidArgument, StatusCode } from '../../core/model/errors.ts';
import type { Descriptor } from './manifest.ts';

/** What an image must have been built for (OCI image specification, image-index.md). */
export interface Platform {
  os: string;
  architecture: string;
  /** Best first; empty: any will do. */
  variants: string[];
}

/** Node's names of processors in OCI's, which are Go's. */
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };

/**
 * Parses `linux/arm/v7`; the empty text stands for this machine. An ARM processor also runs what was built for older ones.
 * @throws CriError INVALID_ARGUMENT for anything else.
 */
export function parsePlatform(text = ''): Platform {
  const machine = `linux/${ARCHITECTURES[process.arch] ?? process.arch}`;
  const match = /^(linux)\/([a-z0-9]+)(?:\/(v\d+))?$/.exec(text || machine);
  const [, os, architecture, variant] = match ?? [];
  if (os === undefined || architecture === undefined) {
    throw invalidArgument('images.platform', `${JSON.stringify(text)} is no platform; write one like "linux/amd64"`);
  }
  return { os, architecture, variants: variantsOf(architecture, variant) };
}

/** The manifest for the platform. @throws CriError NOT_FOUND that lists what there is. */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor {
  const { os, architecture, variants } = wanted;
  const fitting = manifests.filter((each) => each.platform?.os === os && each.platform.architecture === architecture);
  const ranked = variants.flatMap((variant) => fitting.filter((each) => each.platform?.variant === variant));
  const plain = fitting.filter((each) => (each.platform?.variant ?? '') === '');
  const [best] = [...ranked, ...plain, ...(variants.length === 0 ? fitting : [])];
  // An index of one image that does not say what it is for, as some builders write.
  const only = manifests.length === 1 && !manifests[0]?.platform ? manifests[0] : undefined;
  const chosen = best ?? only;
  if (chosen) return chosen;
  const found = manifests.map(({ platform }) => (platform ? formatPlatform(platform) : 'unnamed')).join(', ');
  throw new CriError(
    StatusCode.NOT_FOUND,
    `the image has no variant for ${os}/${architecture}, only for: ${found.slice(0, 500) || 'nothing'}`,
  );
}

function variantsOf(architecture: string, variant: string | undefined): string[] {
  if (architecture === 'arm64') return variant === undefined ? ['v8'] : [variant];
  if (architecture !== 'arm') return variant === undefined ? [] : [variant];
  const newest = Number((variant ?? 'v7').slice(1));
  return Array.from({ length: Math.max(newest - 4, 1) }, (_, older) => `v${newest - older}`);
}

function formatPlatform({ os, architecture, variant }: NonNullable<Descriptor['platform']>): string {
  return [os, architecture, variant].filter(Boolean).join('/');
}
