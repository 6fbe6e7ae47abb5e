import { readFileSync } from 'node:fs';

/** What each level of the x86-64 psABI asks of a processor beyond the one before, as /proc/cpuinfo names it. */
const LEVELS = [
  ['cx16', 'lahf_lm', 'popcnt', 'pni', 'ssse3', 'sse4_1', 'sse4_2'],
  ['abm', 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave'],
  ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
];

/** The microarchitecture level, 1 to 4, of an amd64 processor with these flags (x86-64 psABI, "Micro-Architecture Levels"). */
export function amd64Level(flags: ReadonlySet<string>): number {
  const missing = LEVELS.findIndex((needed) => !needed.every((flag) => flags.has(flag)));
  return missing < 0 ? LEVELS.length + 1 : missing + 1;
}

/** The level of this machine's processor; 1, the minimum, when unknown. */
export function machineLevel(): number {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return amd64Level(new Set(line.trim().split(/\s+/)));
  } catch {
    return 1;
  }
}
