/**
 * The program that liblxc runs when a guest starts and ends: the event, and what it needs. It is a shell script because it
 * must work while this server is down:
 * - `pre-start FILE` takes the permit that this server wrote and fails without one: nobody else can start the guest again,
 *   which would be a pod without containers;
 * - `stop FOLDER…` kills whatever is left below the guest's cgroup, whose folder in every hierarchy is named: liblxc itself
 *   ends only the guest's first process;
 * - `post-stop` fails when the guest asked for a reboot, which keeps liblxc from starting an empty guest in its place.
 */
export const guestHook = `event=$1
shift
if [ "$event" = pre-start ]; then
  rm -- "$1" 2>/dev/null && exit
  echo "this guest is a Kubernetes pod that has ended; the kubelet makes a new one" >&2
  exit 1
fi
if [ "$event" = post-stop ]; then
  [ "\${LXC_TARGET:-stop}" != reboot ]
  exit
fi
# Version 0 of liblxc's hooks adds words after the folders.
for word in "$@"; do
  shift
  case $word in /*) set -- "$@" "$word" ;; esac
done
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
