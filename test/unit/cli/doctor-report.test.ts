import test from 'ava';
import fc from 'fast-check';
import { missing, ok, warning } from '../../../src/core/model/finding.ts';
import { formatFindings } from '../../../src/cli/doctor/report.ts';

test('a report names each status, wraps and counts', (t) => {
  const findings = [
    ok('program crun', '/usr/bin/crun: crun version 1.8.1'),
    warning('IPv4 forwarding', 'off: pods reach nothing beyond this node', 'sysctl -w net.ipv4.ip_forward=1'),
    missing('a subject that is long enough for a line', 'not there', ''),
    { ...missing('token', 'refused', 'run:'), commands: ["pveum user token list 'k8s@pve' --of-any-length"] },
  ];
  t.is(
    formatFindings(findings, { width: 60, colour: false }),
    `PASS  program crun          /usr/bin/crun: crun version
                            1.8.1
WARN  IPv4 forwarding       off: pods reach nothing beyond
                            this node
                            Remedy: sysctl -w
                            net.ipv4.ip_forward=1
FAIL  a subject that is long enough for a line
                            not there
FAIL  token                 refused
                            Remedy: run:
                            pveum user token list 'k8s@pve' --of-any-length

1 passed, 1 warnings, 2 failed
`,
  );
  t.regex(formatFindings(findings, { width: 60, colour: true }), /^\u001b\[32mPASS\u001b\[0m {2}program crun/);
});

test('no line of short words exceeds the terminal', (t) => {
  const words = fc
    .array(fc.stringMatching(/^[a-z]{1,10}$/), { minLength: 1, maxLength: 30 })
    .map((all) => all.join(' '));
  fc.assert(
    fc.property(fc.array(fc.tuple(words, words)), fc.integer({ min: 60, max: 200 }), (pairs, width) => {
      const findings = pairs.map(([found, remedy]) => warning('subject', found, remedy));
      const text = formatFindings(findings, { width, colour: false });
      t.true(text.split('\n').every((line) => line.length <= width));
    }),
  );
});
