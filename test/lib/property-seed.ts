import fc from 'fast-check';

/** The seed of all random values in tests: a run of the same commit tries the same values. */
export const PROPERTY_SEED = Number(process.env['PROPERTY_SEED'] ?? 20_261_123);

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: PROPERTY_SEED });
