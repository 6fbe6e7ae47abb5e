import { run } from '../processes/run.ts';

/**
 * What the small Perl programs have in common that make system calls of which Node.js knows nothing (perl-base is part of
 * every Debian). Numbers below 424 differ between x86_64 and arm64, the newer ones are the same everywhere.
 *
 * - `call NAME ARGUMENTS`: the result, or the program's end with the error.
 * - `user_namespace HOST SIZE`: an open file of a fresh user namespace whose ids 0 to SIZE - 1 are the host's from HOST
 *   on. No process stays in it.
 */
const prelude = String.raw`
use strict;
use POSIX ();

my %number = (POSIX::uname())[4] eq 'x86_64'
  ? (setgroups => 116, setresuid => 117, setresgid => 119, setfsuid => 122, setfsgid => 123, prctl => 157, mount => 165,
     sethostname => 170, unshare => 272, setns => 308)
  : (setgroups => 159, setresuid => 147, setresgid => 149, setfsuid => 151, setfsgid => 152, prctl => 167, mount => 40,
     sethostname => 161, unshare => 97, setns => 268);
@number{qw(open_tree move_mount mount_setattr)} = (428, 429, 442);
my ($AT_FDCWD, $CLONE_NEWNS, $CLONE_NEWUSER) = (-100, 0x20000, 0x10000000);

sub fail { my ($text) = @_; syswrite(STDERR, "$text\n"); POSIX::_exit(1) }

# The arguments are copied: a constant must not be handed to syscall.
sub call {
  my ($name, @arguments) = @_;
  my $result = syscall($number{$name}, @arguments);
  fail("$name: $!") if $result < 0;
  return $result;
}

sub map_ids {
  my ($pid, $host, $size) = @_;
  for my $kind ('uid', 'gid') {
    open(my $file, '>', "/proc/$pid/$kind" . '_map') or fail("$kind" . "_map: $!");
    defined syswrite($file, "0 $host $size\n") or fail("$kind" . "_map: $!");
  }
}

# Runs $inside in a child with fresh namespaces, after $outside has done its part with the child's id.
sub in_namespaces {
  my ($flags, $outside, $inside) = @_;
  pipe(my $made, my $make) && pipe(my $go, my $ready) or fail("pipe: $!");
  my $pid = fork();
  fail("fork: $!") if !defined $pid;
  if ($pid == 0) {
    close($_) for $made, $ready;
    call('unshare', $flags);
    syswrite($make, '.');
    # Nothing comes when the parent has failed.
    POSIX::_exit(1) if !sysread($go, my $word, 1);
    POSIX::_exit($inside->());
  }
  close($_) for $make, $go;
  if (sysread($made, my $word, 1)) {
    $outside->($pid);
    syswrite($ready, '.');
  }
  waitpid($pid, 0);
  POSIX::_exit($? >> 8 || 1) if $?;
}

sub user_namespace {
  my ($host, $size) = @_;
  my $namespace;
  in_namespaces($CLONE_NEWUSER, sub {
    my ($pid) = @_;
    map_ids($pid, $host, $size);
    open($namespace, '<', "/proc/$pid/ns/user") or fail("user namespace: $!");
  }, sub { 0 });
  return $namespace;
}

# A clone of the mount at PATH, attached nowhere, that shows and takes ids as NAMESPACE maps them.
sub idmapped {
  my ($path, $namespace) = @_;
  my $tree = call('open_tree', $AT_FDCWD, "$path", 0x80001); # OPEN_TREE_CLOEXEC | OPEN_TREE_CLONE
  my $attributes = pack('QQQQ', 0x100000, 0, 0, fileno $namespace); # MOUNT_ATTR_IDMAP
  call('mount_setattr', $tree, '', 0x1000, $attributes, length $attributes); # AT_EMPTY_PATH
  return $tree;
}
`;

/**
 * Runs such a program and returns what it prints.
 * @throws CommandError whose last words name the system call that failed; exit codes above 1 are the program's own.
 */
export async function runPerl(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run('perl', ['-e', prelude + program, '--', ...args], {
    cwd: '/',
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    timeoutMs: 30_000,
  });
  return stdout;
}
