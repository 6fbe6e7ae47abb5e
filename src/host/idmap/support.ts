import { messageOf } from '../../utils/errors.ts';
import { CommandError } from '../processes/run.ts';
import { runPerl } from './perl.ts';

/** Prints, a line a path, why the file system there cannot be mounted with mapped ids; an empty line where it can. */
const program = String.raw`
my $namespace = user_namespace(65536, 65536);
for my $path (@ARGV) {
  my $pid = fork();
  fail("fork: $!") if !defined $pid;
  if ($pid == 0) {
    open(STDERR, '>&', \*STDOUT);
    idmapped($path, $namespace);
    syswrite(STDOUT, "\n");
    POSIX::_exit(0);
  }
  waitpid($pid, 0);
}
`;

/**
 * Why the file systems that hold `paths` cannot be mounted with mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP), each
 * undefined when it can. Nothing is mounted where anybody sees it.
 */
export async function idmapProblems(paths: readonly string[]): Promise<(string | undefined)[]> {
  if (paths.length === 0) return [];
  try {
    const lines = (await runPerl(program, paths)).split('\n');
    return paths.map((_, index) => lines[index] || undefined);
  } catch (error) {
    const problem = error instanceof CommandError ? error.stderr.trim() || error.message : messageOf(error);
    return paths.map(() => problem);
  }
}
