import type { IdRange } from '../../core/model/id-range.ts';
import { runPerl } from '../../host/idmap/perl.ts';

/**
 * Mounts, in a mount namespace of its own, a clone of the store's folder with mapped ids, and an overlay of folders in it;
 * then hands the overlay alone to the namespace it came from. The overlay's own access to its folders uses the ids of who
 * mounts it, and those must be mapped too: they are those of the user namespace's root, with all rights kept.
 */
const program = String.raw`
my ($store, $links, $options, $target, $host, $size) = @ARGV;
my $tree = idmapped($store, user_namespace($host, $size));
open(my $home, '<', '/proc/self/ns/mnt') or fail("mount namespace: $!");
call('unshare', $CLONE_NEWNS);
call('mount', 'none', '/', 0, 0x44000, 0); # MS_REC | MS_PRIVATE
call('mount', 'tmpfs', $target, 'tmpfs', 0, 0);
my ($clone, $overlay) = ("$target/store", "$target/overlay");
mkdir($_) or fail("$_: $!") for $clone, $overlay;
call('move_mount', $tree, '', $AT_FDCWD, $clone, 4); # MOVE_MOUNT_F_EMPTY_PATH
chdir("$clone/$links") or fail("$links: $!");
call('prctl', 28, 4, 0, 0, 0); # PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP
call('setfsgid', $host + 0);
call('setfsuid', $host + 0);
call('mount', 'overlay', $overlay, 'overlay', 0, $options);
call('setfsuid', 0);
call('setfsgid', 0);
my $made = call('open_tree', $AT_FDCWD, $overlay, 0x80001); # OPEN_TREE_CLOEXEC | OPEN_TREE_CLONE
call('setns', fileno $home, $CLONE_NEWNS);
call('move_mount', $made, '', $AT_FDCWD, $target, 4);
`;

/**
 * Mounts an overlay at `target` whose layers are read and written with mapped ids: files that belong to the host's root in
 * the store belong to the root of the user namespace in the mount, and what that one writes belongs to the host's root.
 * @param options overlayfs's, with paths relative to the folder `links` of `store`; no folder of `store` that the options
 *   name is a mount.
 * @throws CommandError naming the system call that the kernel refused.
 */
export async function mountIdmappedOverlay(
  store: { path: string; links: string },
  { options, target, ids }: { options: string; target: string; ids: IdRange },
): Promise<void> {
  await runPerl(program, [store.path, store.links, options, target, String(ids.hostId), String(ids.size)]);
}
