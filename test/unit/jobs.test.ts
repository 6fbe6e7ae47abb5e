import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';

/** Runs a script that has the functions of test/lib/jobs.sh. */
async function jobs(t: ExecutionContext, script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const logs = await mkdtemp(join(tmpdir(), 'jobs-'));
  t.teardown(() => rm(logs, { recursive: true }));
  const head = `
    logs=$1
    . test/lib/jobs.sh
    trap end_jobs EXIT
    good() { echo "begin $1" >>"$logs/order"; echo "ok 1 - $1"; }
    bad() { echo "not ok 1 - $1"; printf '  ---\\n  why\\n  ...\\n'; return 1; }`;
  const tail = `
    echo "$passed passed, $failed failed, $skipped skipped"; printf '%s' "$failures"; cat "$logs/order" 2>/dev/null`;
  const { stdout } = spawnSync('bash', ['-c', `${head}\n${script}\n${tail}`, 'bash', logs], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...env },
  });
  return stdout;
}

test('jobs run after their dependencies, listed ones first', async (t) => {
  const out = await jobs(
    t,
    `job a/one 'prepare/x' good one; job a/two '' good two; job a/three '' good three; job prepare/x '' true
    printf '%s\\n' a/one a/three >"$logs/list"
    longest_first "$logs/list"
    run_jobs 1`,
  );
  t.regex(out, /^a +3 passed, 0 failed, 0 skipped in \d+ s$/m);
  t.regex(out, /^prepare +done in \d+ s$/m);
  t.regex(out, /3 passed, 0 failed, 0 skipped\nbegin three\nbegin two\nbegin one\n/);
});

test('failures are reported last, with their details', async (t) => {
  const out = await jobs(
    t,
    `job a/one '' bad one; job b '' sh -c 'echo gone >&2; exit 7'; job c '' good c; run_jobs 2`,
  );
  t.regex(out, /1 passed, 2 failed, 0 skipped\n/);
  t.regex(out, /^a\/one: one\n {2}why$/m);
  t.regex(out, /^b: ended with code 7 after 0 passed tests[^]*gone\n/m);
});

test('dependents of a failed job are skipped or fail', async (t) => {
  const script = `job prepare/x '' sh -c 'echo no mirror >&2; exit 1'; job a/one prepare/x good one; job a/two '' good two; run_jobs 2`;
  const out = await jobs(t, script);
  t.regex(out, / {2}skipped: prepare\/x: no mirror/);
  t.regex(out, / {2}skipped: a\/one: prepare\/x failed/);
  t.regex(out, /1 passed, 0 failed, 2 skipped\nbegin two\n$/);
  t.regex(await jobs(t, script, { CI: '1' }), /1 passed, 2 failed, 0 skipped/);
});

test('jobs run in parallel up to the slots', async (t) => {
  // The second waits for the third, which starts when the first has ended.
  const out = await jobs(
    t,
    `wait_for() { until [[ -e $logs/$1 ]]; do sleep 0.01; done; echo "ok 1 - $1"; }
    leave() { : >"$logs/$1"; echo "ok 1 - $1"; }
    job a/first '' good first; job a/second '' wait_for mark; job a/third '' leave mark
    run_jobs 2
    report_slowest`,
  );
  t.regex(out, /3 passed, 0 failed/);
  t.regex(out, /Slowest, in seconds:\n {2}\d+ a\/\w+ \(processor \d+\)\n/);
});

test('a job that waits needs no slot', async (t) => {
  // The first ends only when the second has run.
  const out = await jobs(
    t,
    `wait_for() { until [[ -e $logs/$1 ]]; do sleep 0.01; done; echo "ok 1 - $1"; }
    leave() { : >"$logs/$1"; echo "ok 1 - $1"; }
    job a/busy '' wait_for mark; job a/next '' good next; job a/patient '' leave mark
    echo 'a/patient waits' >"$logs/list"
    longest_first "$logs/list"
    queue=(a/busy a/next a/patient)
    run_jobs 1`,
  );
  t.regex(out, /3 passed, 0 failed/);
});
