import { invalidArgument } from '../../core/model/errors.ts';
import type { Bandwidth } from '../../core/model/network.ts';
import { parseQuantity } from '../../core/model/quantity.ts';

const INGRESS = 'kubernetes.io/ingress-bandwidth';
const EGRESS = 'kubernetes.io/egress-bandwidth';
/** The limits Kubernetes documents for these annotations, bits a second. */
const LEAST = 1e3;
const MOST = 1e15;

/**
 * The limits of a pod's traffic, bits a second, from the annotations that Kubernetes documents for CNI's bandwidth plugin;
 * undefined without any. @throws CriError INVALID_ARGUMENT for a value that is not a quantity between 1k and 1P.
 */
export function podBandwidth(annotations: Record<string, string>): Bandwidth | undefined {
  const ingressRate = rate(annotations, INGRESS);
  const egressRate = rate(annotations, EGRESS);
  if (ingressRate === undefined && egressRate === undefined) return undefined;
  return { ...(ingressRate !== undefined && { ingressRate }), ...(egressRate !== undefined && { egressRate }) };
}

function rate(annotations: Record<string, string>, name: string): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const bits = Number(parseQuantity(text) ?? NaN);
  if (bits >= LEAST && bits <= MOST) return bits;
  throw invalidArgument(
    `config.annotations["${name}"]`,
    `${JSON.stringify(text)} must be from "1k" to "1P" bits a second`,
  );
}
