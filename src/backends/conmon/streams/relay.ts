/**
 * A small Perl program (perl-base is part of every Debian) for what Node.js has no calls for. It carries bytes between its
 * standard streams and something else, with one buffer a direction, so that whoever is slow holds up the other side:
 *
 * - `attach PATH LIMIT SECONDS MODE`: conmon's SOCK_SEQPACKET socket. Packets out are written as stream number, length
 *   (16 bits, big endian) and content, since a pipe keeps no boundaries. conmon waits for whoever does not read, and with
 *   it the container, its log and all who are attached: LIMIT bytes are held for a slow reader, and one that leaves them
 *   full for SECONDS is cut off (exit code 4). MODE says what becomes of the input: `input` carries standard input;
 *   `output` does not; `stay` does not either, and stays attached when its reader has gone or is cut off.
 * - `tcp PORT`: a connection to the loopback of the network namespace it runs in, IPv4 first. Exit code 3: no connection.
 * - `pty PATH COMMAND…`: an OCI runtime that passes a terminal through the socket at PATH (`--console-socket`), which is
 *   made here. Lines "ROWS COLUMNS" on descriptor 3 change its size. The exit code is the command's, or 128 plus the
 *   number of the signal that ended it. (The runtime's own copying loses what a short command wrote.)
 */
export const relayScript = String.raw`
use strict;
use Errno qw(EINTR EAGAIN);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK O_RDWR O_NOCTTY);
use POSIX ();
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY inet_pton pack_sockaddr_in6);

sub fail { my ($code, $text) = @_; print STDERR "$text\n"; POSIX::_exit($code) }

# What comes from now on is read and thrown away.
sub discard { my ($way) = @_; @$way{qw(buffer patience take)} = ('', 0, sub {}) }

# A reader is slower than the rest can bear.
sub cut {
  my ($way) = @_;
  my $words = 'its output was not read fast enough';
  fail(4, $words) if !$way->{stay};
  print STDERR "$words\n";
  close($_) for \*STDERR, \*STDOUT;
  discard($way);
}

# Each way: from, size, and either to (with wrap and end) or take. Reading stops when "limit" bytes are held and goes on
# when half of them are gone; a reader that takes longer than "patience" seconds for that is cut. Ends when all ways are
# over, or one that is "last". A way with "until" is over when that is true and there is nothing to read.
sub carry {
  my @ways = @_;
  for my $way (@ways) {
    $way->{buffer} = '';
    $way->{limit} ||= 1;
    for my $file (grep { defined } @$way{qw(from to)}) {
      fcntl($file, F_SETFL, fcntl($file, F_GETFL, 0) | O_NONBLOCK);
    }
  }
  while (my @open = grep { !$_->{over} } @ways) {
    my ($in, $out, $timeout) = ('', '', undef);
    for my $way (@open) {
      my $held = length $way->{buffer};
      if ($held >= $way->{limit}) { $way->{full} ||= time }
      elsif ($held <= $way->{limit} / 2) { $way->{full} = 0 }
      vec($out, fileno $way->{to}, 1) = 1 if $held;
      if ($way->{full}) { $timeout = 1 if $way->{patience} && !defined $timeout }
      elsif (!$way->{ended}) {
        vec($in, fileno $way->{from}, 1) = 1;
        $timeout = 0 if $way->{until} && $way->{until}->();
      }
    }
    next if select($in, $out, undef, $timeout) < 0;
    for my $way (@open) {
      if (length $way->{buffer} && vec($out, fileno $way->{to}, 1)) {
        my $count = syswrite($way->{to}, $way->{buffer});
        if (defined $count) { substr($way->{buffer}, 0, $count) = '' }
        elsif ($! != EINTR && $! != EAGAIN) {
          discard($way);
          $way->{ended} = 1 if !$way->{stay};
        }
      }
      if ($way->{full}) { cut($way) if $way->{patience} && time - $way->{full} > $way->{patience} }
      elsif ($way->{ended}) { }
      elsif (vec($in, fileno $way->{from}, 1)) {
        my $count = sysread($way->{from}, my $chunk, $way->{size});
        if (!defined $count) { $way->{ended} = 1 if $! != EINTR && $! != EAGAIN }
        elsif ($count == 0) { $way->{ended} = 1 }
        elsif ($way->{take}) { $way->{take}->($chunk) }
        else { $way->{buffer} .= $way->{wrap} ? pack('Cn', ord $chunk, $count - 1) . substr($chunk, 1) : $chunk }
      } elsif ($way->{until} && defined $timeout && $timeout == 0) { $way->{ended} = 1 }
      next if !$way->{ended} || length $way->{buffer};
      $way->{over} = 1;
      $way->{end}->() if $way->{end};
      return if $way->{last};
    }
  }
}

sub attach {
  my ($path, $limit, $patience, $mode) = @_;
  socket(my $socket, AF_UNIX, SOCK_SEQPACKET, 0) or fail(3, "socket: $!");
  connect($socket, pack_sockaddr_un($path)) or fail(3, "connect: $!");
  my %output = (from => $socket, to => \*STDOUT, size => 65536, wrap => 1, last => 1, stay => $mode eq 'stay');
  my @ways = { %output, limit => $limit, patience => $patience };
  push @ways, { from => \*STDIN, to => $socket, size => 8192, end => sub { shutdown($socket, 1) } } if $mode eq 'input';
  carry(@ways);
  return 0;
}

sub tcp {
  my ($port) = @_;
  my $socket;
  my $problem = '';
  for my $address (
    [AF_INET, pack_sockaddr_in($port, inet_aton('127.0.0.1'))],
    [AF_INET6, pack_sockaddr_in6($port, inet_pton(AF_INET6, '::1'))],
  ) {
    if (socket($socket, $address->[0], SOCK_STREAM, 0) && connect($socket, $address->[1])) { $problem = ''; last }
    $problem ||= "$!";
  }
  fail(3, $problem) if $problem;
  setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
  carry(
    { from => $socket, to => \*STDOUT, size => 65536, end => sub { close(STDOUT) } },
    { from => \*STDIN, to => $socket, size => 65536, end => sub { shutdown($socket, 1) } },
  );
  return 0;
}

# The descriptor that the peer of a unix socket passes (SCM_RIGHTS); recvmsg(2) has no name in Perl.
sub receive {
  my ($socket) = @_;
  my ($data, $control) = ("\0" x 4096, "\0" x 24);
  my $vector = pack('PQ', $data, length $data);
  my $message = pack('QLx4PQPQLx4', 0, 0, $vector, 1, $control, length $control, 0);
  my $call = (POSIX::uname())[4] eq 'x86_64' ? 47 : 212;
  my $count;
  1 while ($count = syscall($call, fileno $socket, $message, 0)) < 0 && $! == EINTR;
  return if $count < 0 || unpack('x8LL', $control) != 1;
  open(my $file, '+<&=', unpack('x16l', $control)) or return;
  return $file;
}

sub pty {
  my ($path, @command) = @_;
  pipe(my $ended, my $end) or fail(3, "pipe: $!");
  local $SIG{CHLD} = sub { syswrite($end, '.') };
  open(my $sizes, '<&=', 3) or fail(3, "descriptor 3: $!");
  socket(my $listener, AF_UNIX, SOCK_STREAM, 0) or fail(3, "socket: $!");
  bind($listener, pack_sockaddr_un($path)) && listen($listener, 1) or fail(3, "$path: $!");
  my $pid = fork();
  fail(3, "fork: $!") if !defined $pid;
  if ($pid == 0) {
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>', '/dev/null');
    $SIG{$_} = 'DEFAULT' for qw(PIPE CHLD);
    exec { $command[0] } @command;
    POSIX::_exit(127);
  }
  my $in = '';
  vec($in, fileno $_, 1) = 1 for $listener, $ended;
  my ($ready, $master);
  1 while select($ready = $in, undef, undef, undef) < 0;
  if (vec($ready, fileno $listener, 1) && accept(my $connection, $listener)) { $master = receive($connection) }
  if ($master) {
    my ($line, $over) = ('', 0);
    my $resize = sub {
      $line .= $_[0];
      while ($line =~ s/^(\d+) (\d+)\n//) { ioctl($master, 0x5414, pack('S4', $1, $2, 0, 0)) }
    };
    carry(
      { from => $master, to => \*STDOUT, size => 65536, last => 1, until => sub { $over } },
      { from => \*STDIN, to => $master, size => 4096 },
      { from => $sizes, size => 1024, take => $resize },
      { from => $ended, size => 16, take => sub { $over = 1 } },
    );
    close($master);
  }
  my $gone;
  1 while ($gone = waitpid($pid, 0)) < 0 && $! == EINTR;
  return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

$SIG{PIPE} = 'IGNORE';
my ($mode, @rest) = @ARGV;
my %modes = (attach => \&attach, tcp => \&tcp, pty => \&pty);
POSIX::_exit($modes{$mode}->(@rest));
`;

/** Perl's arguments for one mode of the relay. */
export function relayArguments(mode: 'attach' | 'tcp' | 'pty', ...rest: string[]): string[] {
  return ['-e', relayScript, '--', mode, ...rest];
}
