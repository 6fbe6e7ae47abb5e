import { MAX_ENTRIES, MAX_IMAGE_BYTES, MAX_LAYER_NAME_BYTES, MAX_RATIO } from './bounds.ts';
import { TAR_LIMITS, type TarLimits } from './extract.ts';
import type { LayerLimits } from './layer-filter.ts';

/** The limits of one layer. */
export const LAYER_LIMITS: LayerLimits & TarLimits = {
  ...TAR_LIMITS,
  maxEntries: MAX_ENTRIES,
  maxBytes: MAX_IMAGE_BYTES,
  maxNameBytes: MAX_LAYER_NAME_BYTES,
  maxRatio: MAX_RATIO,
};
