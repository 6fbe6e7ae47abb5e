# shellcheck shell=bash
# Sourced by test/node/up, down and kubectl: where the node is, and the process that its namespaces are those of.

# shellcheck disable=SC2034
readonly directory=${PROXMOX_LXCRI_NODE:-/tmp/proxmox-lxcri-node}

# sandbox_pid: prints the id of the sandbox's process; fails when the node does not run.
sandbox_pid() {
  local pid
  pid=$(<"$directory/pid") && [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == *test/sandbox* ]] && echo "$pid"
} 2>/dev/null

# inner_pid: prints the id of the first process in the namespaces of the node.
inner_pid() {
  local pid child own
  own=$(readlink /proc/self/ns/pid)
  pid=$(sandbox_pid) || { echo "no node runs in $directory: start one with test/node/up" >&2; return 1; }
  while read -r child; do
    while [[ -n $child ]]; do
      [[ $(readlink "/proc/$child/ns/pid") == "$own" ]] || { echo "$child"; return; }
      child=$(pgrep -P "$child" | head -n 1) || true
    done
  done < <(pgrep -P "$pid")
  echo "the node in $directory is about to end" >&2
  return 1
}
