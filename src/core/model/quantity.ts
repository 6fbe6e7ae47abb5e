const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  k: 10n ** 3n,
  M: 10n ** 6n,
  G: 10n ** 9n,
  T: 10n ** 12n,
  P: 10n ** 15n,
  E: 10n ** 18n,
  Ki: 2n ** 10n,
  Mi: 2n ** 20n,
  Gi: 2n ** 30n,
  Ti: 2n ** 40n,
  Pi: 2n ** 50n,
  Ei: 2n ** 60n,
};

/** The largest one of Kubernetes. */
const MOST = 2n ** 63n - 1n;

/**
 * A quantity as Kubernetes writes it: a number without a sign and a unit (`1.5Gi`, `10M`, `4096`), rounded up to an integer.
 * undefined for every other text, milli units and exponents among them, and for what Kubernetes has no number for.
 */
export function parseQuantity(text: string): bigint | undefined {
  const [, digits, fraction = '', unit = ''] = /^(\d{1,19})(?:\.(\d{1,19}))?([kMGTPE]|[KMGTPE]i)?$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits === undefined || factor === undefined) return undefined;
  const scale = 10n ** BigInt(fraction.length);
  const value = (BigInt(digits + fraction) * factor + scale - 1n) / scale;
  return value > MOST ? undefined : value;
}
