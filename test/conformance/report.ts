import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const reports = z.array(
  z.object({
    /** Why the run as a whole failed, apart from its specs: a timeout, an interruption. */
    SpecialSuiteFailureReasons: z.array(z.string()).nullish(),
    SpecReports: z.array(
      z.object({
        ContainerHierarchyTexts: z.array(z.string()).nullish(),
        LeafNodeType: z.string(),
        LeafNodeText: z.string(),
        State: z.string(),
        RunTime: z.number(),
        Failure: z.object({ Message: z.string() }).optional(),
      }),
    ),
  }),
);

/**
 * Prints a Ginkgo JSON report as TAP. A spec that the list of known failures names may fail (it counts as skipped, with
 * the list's reason); when it passes, the list is wrong, and that is a failure.
 * @param known lines `reason<TAB>full name of the spec`.
 * @param label prefix of the names, to distinguish runs.
 */
function toTap(report: string, known: string, label: string): { lines: string[]; failed: number } {
  const reasons = new Map(
    known
      .split('\n')
      .filter((line) => line.includes('\t') && !line.startsWith('#'))
      .map((line) => line.split('\t', 2) as [string, string])
      .map(([reason, name]) => [name, reason]),
  );
  const suites = reports.parse(JSON.parse(report));
  const specs = suites.flatMap(({ SpecReports }) => SpecReports).filter(({ LeafNodeType }) => LeafNodeType === 'It');
  const lines = ['TAP version 13'];
  let failed = 0;
  let number = 0;
  for (const spec of specs) {
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ').trim().replaceAll('#', '');
    const message = (spec.Failure?.Message ?? '').split('\n').map((line) => line.trim());
    const first = message
      .filter((line) => line !== '')
      .slice(0, 6)
      .join(' ');
    // Specs that the suite's own options leave out are not part of the run.
    if (spec.State === 'skipped' && first === '') continue;
    number += 1;
    const reason = reasons.get(name);
    const at = `${String(number)} - ${label}: ${name}`;
    if (spec.State === 'passed' && reason === undefined) lines.push(`ok ${at}`);
    else if (spec.State === 'skipped') lines.push(`ok ${at} # SKIP ${first}`);
    else if (spec.State === 'passed') {
      failed += 1;
      lines.push(`not ok ${at}`, '  ---', `  message: passes; take it out of known-failures.txt`, '  ...');
    } else if (reason !== undefined) lines.push(`ok ${at} # SKIP known: ${reason}`);
    else {
      failed += 1;
      lines.push(`not ok ${at}`, '  ---', `  message: ${JSON.stringify(first)}`, '  ...');
    }
  }
  // Unreached specs look like specs excluded by options: only the run as a whole shows the difference.
  const troubles = suites.flatMap((suite) => suite.SpecialSuiteFailureReasons ?? []);
  if (number === 0) troubles.push('no spec was run');
  for (const reason of troubles) {
    number += 1;
    failed += 1;
    lines.push(`not ok ${String(number)} - ${label}: the run as a whole: ${reason}`);
  }
  lines.push(`1..${String(number)}`);
  return { lines, failed };
}

const [report = '', known = '', label = ''] = process.argv.slice(2);
const { lines, failed } = toTap(await readFile(report, 'utf8'), await readFile(known, 'utf8'), label);
process.stdout.write(`${lines.join('\n')}\n`);
process.exitCode = failed === 0 ? 0 : 1;
