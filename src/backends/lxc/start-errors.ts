import { invalidArgument } from '../../core/model/errors.ts';

/**
 * The errors in liblxc's log of a start, without time stamps and source lines: at most five, the first is the cause.
 * @throws CriError INVALID_ARGUMENT when it is a kernel parameter that the kernel refused.
 */
export function startErrors(log: string): string[] {
  const errors = log.split('\n').flatMap((line) => / ERROR +\S+ - \S+ - (.*)$/.exec(line)?.[1]?.slice(0, 300) ?? []);
  // The messages of the program lxc-start add no information.
  const words = errors.filter((word) => !/^(The container failed|Additional information)/.test(word)).slice(0, 5);
  const sysctl = words.find((word) => word.includes('sysctl parameters '));
  if (sysctl !== undefined) throw invalidArgument('linux.sysctls', sysctl);
  return words;
}
