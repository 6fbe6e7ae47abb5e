# shellcheck shell=bash
# shellcheck disable=SC2154 # $logs is the caller's
# Sourced by test/run: parallel jobs, the longest first, and their results.
#
# A job is STAGE/NAME, or STAGE alone. It prints TAP; that and its standard error are kept in $logs/STAGE/NAME.tap and
# $logs/STAGE/NAME.tap.err. Its needs are other jobs, which run before it; dependents of a failed job are skipped.

declare -A running=() needs=() command_of=() left=() begun=() finished=() waits=()
declare -A count_of=() # STAGE and one of passed, failed, skipped
queue=() passed=0 failed=0 skipped=0 failures='' times=''

# job NAME 'NEEDS...' COMMAND...: puts a job at the end of the queue.
job() {
  local name=$1
  queue+=("$name")
  needs[$name]=$2
  shift 2
  command_of[$name]=$(printf '%q ' "$@")
  left[${name%%/*}]=$((${left[${name%%/*}]:-0} + 1))
}

# begin NAME: runs the job in the background, in its own process group, so that it can be ended with everything it
# started.
begin() {
  local name=$1 log=$logs/$1.tap
  mkdir -p "${log%/*}"
  rm -f "$logs/$name.end"
  begun[${name%%/*}]=${begun[${name%%/*}]:-$SECONDS}
  set -m
  {
    trap - EXIT INT TERM
    from=$SECONDS rc=0
    (eval "${command_of[$name]}") >"$log" 2>"$log.err" </dev/null || rc=$?
    times >"$logs/$name.times"
    echo "$rc $((SECONDS - from))" >"$logs/$name.end"
    echo "$name" >&"$ends"
  } &
  running[$name]=$!
  set +m
}

# finish NAME: adds its results up; reports skips at once, and failures at the end of the whole run.
finish() {
  local name=$1 stage=${1%%/*} log=$logs/$1.tap rc=1 seconds=0 cpu line p=0 f=0 s=0
  wait "${running[$name]}"
  unset "running[$name]"
  read -r rc seconds <"$logs/$name.end" || true
  cpu=$(awk -F '[ms ]+' 'NR == 2 { printf "%.0f", 60 * ($1 + $3) + $2 + $4 }' "$logs/$name.times")
  times+="$seconds $name (processor $cpu)"$'\n'
  while IFS= read -r line; do
    case $line in
      count*) read -r p f s <<<"${line#count }" ;;
      skip*) echo "  skipped: $name: ${line#skip }" ;;
      fail*) failures+="$name: ${line#fail }"$'\n' ;;
      more*) failures+="${line#more }"$'\n' ;;
    esac
  done < <(awk -f test/lib/tally.awk "$log")
  if ((rc != 0 && f == 0)) || { ((p + f + s == 0)) && [[ $stage != prepare ]]; }; then
    if [[ $stage == prepare ]]; then
      absent "$name" "$(tail -n 3 "$log.err" | tr '\n' ' ')"
      drop "$name"
    else
      f=$((f + 1))
      failures+="$name: ended with code $rc after $p passed tests; its last words ($log.err):"$'\n'
      failures+=$(tail -n 20 "$log" "$log.err" | sed 's/^/    /')$'\n'
    fi
  fi
  if grep -q 'ava/lib/reporters/tap.js' "$log.err"; then
    failures+="$name: a test did not end in the time that ava.config.js allows; run its file without --tap to see which"$'\n'
  fi
  finished[$name]=1
  count_of[$stage passed]=$((${count_of[$stage passed]:-0} + p))
  count_of[$stage failed]=$((${count_of[$stage failed]:-0} + f))
  count_of[$stage skipped]=$((${count_of[$stage skipped]:-0} + s))
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  left[$stage]=$((left[$stage] - 1))
  report_stage "$stage"
}

# report_stage STAGE: prints its result when the last job of it has ended.
report_stage() {
  local took=$((SECONDS - ${begun[$1]:-$SECONDS}))
  ((left[$1] == 0)) || return 0
  if [[ $1 == prepare ]]; then
    printf '%-14s done in %d s\n' prepare "$took"
  else
    printf '%-14s %4d passed, %d failed, %d skipped in %d s\n' "$1" \
      "${count_of[$1 passed]:-0}" "${count_of[$1 failed]:-0}" "${count_of[$1 skipped]:-0}" "$took"
  fi
}

# absent WHAT REASON: records a skip; a failure in CI.
absent() {
  if [[ -n ${CI:-} ]]; then
    failed=$((failed + 1)) failures+="$1: $2"$'\n'
  else
    skipped=$((skipped + 1))
    echo "  skipped: $1: $2"
  fi
}

# drop NEED: removes its dependents from the queue.
drop() {
  local name rest=()
  for name in "${queue[@]}"; do
    if [[ " ${needs[$name]} " == *" $1 "* ]]; then
      absent "$name" "$1 failed"
      left[${name%%/*}]=$((left[${name%%/*}] - 1))
      report_stage "${name%%/*}"
    else
      rest+=("$name")
    fi
  done
  queue=("${rest[@]}")
}

# next_job FREE: removes the first job with met needs from the queue, as $next; fails when there is none. With no FREE slots
# only a job that waits will do.
next_job() {
  local at need
  for at in "${!queue[@]}"; do
    next=${queue[at]}
    (($1 > 0)) || [[ -n ${waits[$next]:-} ]] || continue
    for need in ${needs[$next]}; do
      # Unchosen jobs are not waited for.
      [[ -z ${command_of[$need]:-} || -n ${finished[$need]:-} ]] || continue 2
    done
    unset "queue[at]"
    queue=("${queue[@]}")
    return 0
  done
  return 1
}

# longest_first FILE: sorts the queue by a list of jobs, one per line, the longest first; the others follow in order. A job with
# the word "waits" after its name needs no slot.
longest_first() {
  local name how first=() rest=()
  while read -r name how; do
    [[ -n ${command_of[$name]:-} ]] || continue
    first+=("$name")
    [[ $how != waits ]] || waits[$name]=1
  done <"$1"
  for name in "${queue[@]}"; do
    [[ " ${first[*]} " == *" $name "* ]] || rest+=("$name")
  done
  queue=("${first[@]}" "${rest[@]}")
}

# free_slots SLOTS: prints how many of them no running job has.
free_slots() {
  local name free=$1
  for name in "${!running[@]}"; do
    [[ -n ${waits[$name]:-} ]] || free=$((free - 1))
  done
  echo "$free"
}

# run_jobs SLOTS: runs the queue, SLOTS jobs at a time, and beside them those that wait.
run_jobs() {
  local next name fifo=$logs/ends
  rm -f "$fifo"
  mkfifo "$fifo"
  exec {ends}<>"$fifo"
  while ((${#queue[@]} + ${#running[@]} > 0)); do
    while next_job "$(free_slots "$1")"; do begin "$next"; done
    read -r name <&"$ends"
    finish "$name"
  done
  exec {ends}>&-
}

# end_jobs: ends running jobs.
end_jobs() {
  local pid
  for pid in "${running[@]}"; do kill -- "-$pid" 2>/dev/null; done
  wait
}

# report_slowest: prints the ten slowest jobs and unit test files, with the processor time of jobs.
report_slowest() {
  echo
  echo 'Slowest, in seconds:'
  { printf '%s' "$times"; cat "$logs"/unit.seconds 2>/dev/null; } | grep -vE '^[0-9]+ (lint|unit) ' | sort -rn | head -n 10 | sed 's/^/  /'
}
