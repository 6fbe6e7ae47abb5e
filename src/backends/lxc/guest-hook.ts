/**
 * The program that liblxc runs when a guest ends, with the event and, for `stop`, the folders of the guest's cgroup in
 * every hierarchy. It is a shell script because it must work while this server is down:
 * - `stop` kills whatever is left below the guest's cgroup: liblxc itself ends only the guest's first process;
 * - `post-stop` fails when the guest asked for a reboot, which keeps liblxc from starting an empty guest in its place.
 */
export const guestHook = `event=$1
shift
if [ "$event" = post-stop ]; then
  [ "\${LXC_TARGET:-stop}" != reboot ]
  exit
fi
pids() { find "$@" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | grep -v '^0$'; }
tries=0
while [ "$tries" -lt 400 ] && left=$(pids "$@"); do
  for directory in "$@"; do
    [ ! -e "$directory/cgroup.kill" ] || echo 1 >"$directory/cgroup.kill"
    [ ! -e "$directory/freezer.state" ] || find "$directory" -name freezer.state | while read -r state; do
      echo THAWED >"$state"
    done
  done 2>/dev/null
  kill -KILL $left 2>/dev/null
  tries=$((tries + 1))
  sleep 0.02
done
exit 0
`;
