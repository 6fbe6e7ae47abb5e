import type { IdRange } from '../../core/model/id-range.ts';
import { runPerl } from '../../host/idmap/perl.ts';

/**
 * Makes a user namespace and others that it owns, pins each by a bind mount on a file, and then runs a command inside as
 * its root. unshare(1) cannot: what has just entered a user namespace has no right to mount outside of it.
 */
const program = String.raw`
my ($host, $size, $hostname, $count, @rest) = @ARGV;
my %pins = splice(@rest, 0, 2 * $count);
my %flags = (net => 0x40000000, ipc => 0x8000000, uts => 0x4000000, user => $CLONE_NEWUSER);
my $flags = 0;
$flags |= $flags{$_} for keys %pins;
in_namespaces($flags, sub {
  my ($pid) = @_;
  map_ids($pid, $host, $size);
  call('mount', "/proc/$pid/ns/$_", $pins{$_}, 0, 0x1000, 0) for keys %pins; # MS_BIND
}, sub {
  call('setgroups', 0, 0);
  call('setresgid', 0, 0, 0);
  call('setresuid', 0, 0, 0);
  call('sethostname', $hostname, length $hostname) if length $hostname;
  exec { $rest[0] } @rest;
  fail("$rest[0]: $!");
});
`;

/**
 * Makes namespaces owned by a new user namespace, pinned on the files of `pins`, which exist and among which is `user`'s;
 * then runs `command` in them as their root.
 * @param hostname of the UTS namespace; empty: left as it is.
 * @throws CommandError, with the command's own exit code when that failed. What is pinned then stays.
 */
export async function pinOwnedNamespaces(
  ids: IdRange,
  pins: ReadonlyMap<string, string>,
  hostname: string,
  command: readonly string[],
): Promise<void> {
  const files = [...pins].flat();
  await runPerl(program, [String(ids.hostId), String(ids.size), hostname, String(pins.size), ...files, ...command]);
}
