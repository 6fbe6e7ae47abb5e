# shellcheck shell=bash
# shellcheck disable=SC2154 # set by the caller
# Sourced by deploy/quickstart: its changes to the host outside its directories, and their rollback.
# Uses $data, $run, $bridge and $cgroup of the caller.

# hybrid: true where a cgroup v2 tree stands beside v1 controllers; crun refuses such a host as it is.
hybrid() { grep -qE '^[^ ]+ /sys/fs/cgroup/unified cgroup2 ' /proc/self/mounts; }

# free_subnet: prints "10.N.77", such that no route but a default one touches 10.N.77.0/24.
free_subnet() {
  local n
  for n in {99..250}; do
    if ! { ip -4 route show root "10.$n.77.0/24"; ip -4 route show match "10.$n.77.0/24"; } | grep -qv '^default'; then
      echo "10.$n.77"
      return
    fi
  done
  echo 'every subnet from 10.99.77.0/24 to 10.250.77.0/24 is in use on this host' >&2
  return 1
}

# start_time PID: the kernel's start time of the process, which tells it from a later one with the same number.
start_time() { [[ -r /proc/$1/stat ]] && sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# server_pid: prints the server's process id if it is the very process that was started, else fails.
server_pid() {
  local pid started
  [[ -f $run/server.pid ]] && read -r pid started <"$run/server.pid" && [[ $(start_time "$pid") == "$started" ]] && echo "$pid"
}

# stop_server: SIGTERM, a minute, SIGKILL. Containers go on: they do not depend on the server.
stop_server() {
  local pid i
  pid=$(server_pid) || return 0
  kill -TERM "$pid"
  for ((i = 0; i < 600; i++)); do
    server_pid >/dev/null || return 0
    sleep 0.1
  done
  echo "the server (process $pid) did not exit on SIGTERM" >&2
  kill -KILL "$pid"
}

# own_cgroups: this quickstart's cgroups in every hierarchy. liblxc makes some below the cgroup of process 1.
own_cgroups() {
  find /sys/fs/cgroup -type d \( -name "${cgroup#/}" -o -name "${cgroup#/}.*" \) -prune -print 2>/dev/null
}

# end_processes: kills what still runs in this quickstart's cgroups, and removes those.
end_processes() {
  local round directory
  local -a directories
  for ((round = 0; round < 600; round++)); do
    mapfile -t directories < <(own_cgroups)
    [[ ${#directories[@]} -gt 0 ]] || return 0
    for directory in "${directories[@]}"; do
      # What crun made where a hierarchy is hidden are plain files.
      if [[ $(stat -f -c %T "$directory") == tmpfs ]]; then
        rm -rf "$directory"
        continue
      fi
      find "$directory" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs -r kill -KILL 2>/dev/null
      find "$directory" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    sleep 0.1
  done
  echo "cgroups not removed: ${directories[*]}" >&2
  return 1
}

# unmount_all: unmounts everything at or below the two directories, the innermost first.
unmount_all() {
  local target
  while read -r target; do
    umount -l -- "$target"
  done < <(awk -v a="$data" -v b="$run" '{ m = $5 } m == a || m == b || index(m, a "/") == 1 || index(m, b "/") == 1 { print m }' /proc/self/mountinfo | tac)
}

# What crun, liblxc, iproute2, iptables and the CNI plugins make for themselves where it is missing.
tool_files=(/run/crun /run/lxc /run/netns /run/xtables.lock /var/lib/cni)

# note_host: records what a later --down restores: whether packets were forwarded, which CNI chains and files of
# other tools existed.
note_host() {
  [[ -f $data/before/ip_forward ]] && return
  mkdir -p "$data/before"
  cni_chains >"$data/before/chains"
  ls -d "${tool_files[@]}" >"$data/before/files" 2>/dev/null
  cat /proc/sys/net/ipv4/ip_forward >"$data/before/ip_forward"
}

# cni_chains: prints "TABLE CHAIN" for each chain of CNI plugins.
cni_chains() {
  local table
  for table in nat filter; do
    iptables-save -t "$table" 2>/dev/null | sed -n "s/^:\(CNI-[^ ]*\) .*/$table \1/p"
  done
}

# rules_of_pods: prints what iptables-restore needs to remove the masquerading of pods that the server could not detach.
rules_of_pods() {
  iptables-save -t nat | grep -F -- '--comment "name: \"proxmox-lxcri-quickstart\"' | grep '^-A POSTROUTING ' | while read -r rule; do
    printf -- '-D%s\n-F %s\n-X %s\n' "${rule#-A}" "${rule##* }" "${rule##* }"
  done
}

# rules_of_portmap: the same for the chains of the plugin portmap, if they are new and no pod uses them:
# CNI-HOSTPORT-DNAT is empty then, and the others only serve that one.
rules_of_portmap() {
  local table chain rules
  rules=$(iptables-save -t nat)
  if grep -qE '^-A CNI-HOSTPORT-DNAT ' <<<"$rules"; then return; fi
  while read -r table chain; do
    grep -E -- " -j $chain\$" <<<"$rules" | sed 's/^-A/-D/'
    printf -- '-F %s\n-X %s\n' "$chain" "$chain"
  done < <(cni_chains | grep '^nat CNI-HOSTPORT-' | grep -vxFf "$data/before/chains")
}

# restore_host: removes the bridge and restores what note_host recorded.
restore_host() {
  local rc=0 rules file
  if ip link show "$bridge" >/dev/null 2>&1; then ip link delete "$bridge" || rc=1; fi
  [[ -f $data/before/ip_forward ]] || return "$rc"
  rm -rf "/run/lxc/lock$run"
  for file in "${tool_files[@]}"; do
    # Only what is new and has become empty again.
    grep -qxF "$file" "$data/before/files" || find "$file" -depth -empty -delete 2>/dev/null
  done
  rules=$(rules_of_pods; rules_of_portmap)
  if [[ -n $rules ]]; then printf '*nat\n%s\nCOMMIT\n' "$rules" | iptables-restore --wait --noflush || rc=1; fi
  cat "$data/before/ip_forward" >/proc/sys/net/ipv4/ip_forward || rc=1
  return "$rc"
}
