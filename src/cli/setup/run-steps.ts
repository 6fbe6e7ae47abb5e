import { messageOf } from '../../utils/errors.ts';
import type { MadeRecord } from './made.ts';
import { nameOf, removeMade } from './remove-made.ts';
import type { Made, Outcome, Step } from './step.ts';

/** What each step finds and would do; it changes nothing. */
export async function planSteps(steps: readonly Step[], report: (outcome: Outcome) => void): Promise<void> {
  for (const { name, look } of steps) {
    const { text, make } = await look();
    report({ step: name, outcome: make === undefined ? 'found' : 'would', text });
  }
}

/**
 * Runs the steps in their order. When one fails, what this run has made is removed in reverse order, and nothing that an
 * earlier run has made. @throws the error of the step, with what could not be removed.
 */
export async function runSteps(
  steps: readonly Step[],
  made: MadeRecord,
  report: (outcome: Outcome) => void,
): Promise<void> {
  const before = made.entries.length;
  try {
    for (const { name, look } of steps) {
      const { text, make } = await look();
      await make?.((entry) => made.add(entry));
      report({ step: name, outcome: make === undefined ? 'found' : 'done', text });
    }
  } catch (error) {
    // What cannot be removed now stays in the record, for --remove.
    const failures = await removeEntries(made, made.entries.slice(before), { report, forgetsKept: false });
    throw new Error([messageOf(error), ...failures].join('\n'), { cause: error });
  }
}

/**
 * Removes what setup has made, the last first. What is kept belongs to others from then on, and leaves the record.
 * @throws Error with everything that could not be removed; it can be repeated.
 */
export async function removeAll(made: MadeRecord, report: (outcome: Outcome) => void): Promise<void> {
  const failures = await removeEntries(made, made.entries, { report, forgetsKept: true });
  if (failures.length > 0) throw new Error(failures.join('\n'));
}

/** @returns the failures; those entries stay in the record. */
async function removeEntries(
  made: MadeRecord,
  entries: readonly Made[],
  { report, forgetsKept }: { report: (outcome: Outcome) => void; forgetsKept: boolean },
): Promise<string[]> {
  const failures: string[] = [];
  for (const entry of entries.toReversed()) {
    try {
      const isDirectory = entry.kind === 'directory';
      // The record may be the last file of a directory, and stays while something does.
      if (isDirectory && failures.length > 0) continue;
      if (isDirectory) await made.drop(entry);
      const kept = await removeMade(entry);
      if (!isDirectory && (kept === undefined || forgetsKept)) await made.drop(entry);
      report({ step: nameOf(entry), outcome: kept === undefined ? 'removed' : 'kept', text: kept ?? '' });
    } catch (error) {
      failures.push(`cannot remove ${nameOf(entry)}: ${messageOf(error)}`);
    }
  }
  return failures;
}
