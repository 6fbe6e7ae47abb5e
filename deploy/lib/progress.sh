# shellcheck shell=bash
# Sourced by deploy/quickstart and test/run: shows that a long step goes on.

# with_progress LOG COMMAND...: runs COMMAND with its output appended to LOG. Prints every ten seconds how long it has taken
# and the last line of LOG; on a terminal every second, in a line that disappears at the end.
with_progress() {
  local log=$1 reporter rc=0
  shift
  report_progress "$log" &
  reporter=$!
  "$@" >>"$log" 2>&1 || rc=$?
  { kill "$reporter" && wait "$reporter"; } 2>/dev/null
  [[ ! -t 1 ]] || printf '\r\e[K'
  return "$rc"
}

report_progress() {
  local log=$1 begin=$SECONDS never line width='' interval=10
  if [[ -t 1 ]]; then interval=1 width=$(stty size <&1 2>/dev/null); fi
  width=${width#* }
  # A pipe that stays empty: no process has to sleep.
  exec {never}<> <(:)
  until read -rt "$interval" -u "$never"; do
    # The script may have been killed.
    kill -0 "$$" 2>/dev/null || return
    line="… $((SECONDS - begin)) s: $(tail -n 1 "$log" | tr -cd '[:print:]')"
    if [[ -t 1 ]]; then printf '\r\e[K%s' "${line:0:${width:-80} - 1}"; else printf '  %s\n' "$line"; fi
  done
}
