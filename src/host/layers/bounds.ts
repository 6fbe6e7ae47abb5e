/**
 * Bounds of an image. Each is far above the values of real images and far below those that harm a node; an image that exceeds
 * one is refused with an error that names the bound, and nothing of it stays. docs/security.md documents them for operators.
 */

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Layers of one image: the maximum of overlayfs (OVL_MAX_STACK). */
export const MAX_LAYERS = 500;
/** Files, directories, links, devices and whiteouts of all layers of an image together. */
export const MAX_ENTRIES = 2_000_000;
/** Bytes on disk of all layers of an image together. */
export const MAX_IMAGE_BYTES = 128 * GIB;
/** Maximum ratio of a layer's unpacked size to its compressed one, above {@link UNSUSPICIOUS_BYTES}. */
export const MAX_RATIO = 200;
export const UNSUSPICIOUS_BYTES = GIB;

/** Bytes of all names and link targets of a layer together: they are in memory while it is unpacked. */
export const MAX_LAYER_NAME_BYTES = 256 * MIB;
/** Bytes of all extended headers of a layer together (pax records, GNU long names). One alone may have 1 MiB. */
export const MAX_LAYER_HEADER_BYTES = 512 * MIB;
/** Bytes of the names and values of extended attributes of one entry: the kernel's bound of one value (XATTR_SIZE_MAX). */
export const MAX_ENTRY_XATTR_BYTES = 65_536;
/** The same of all entries of a layer together: those of directories are in memory to the end, here and in tar. */
export const MAX_LAYER_XATTR_BYTES = 16 * MIB;

/** Bytes of an entry's path: PATH_MAX (4096), minus its prefix on this node. */
export const MAX_PATH_BYTES = 3072;
/** Components of an entry's path. */
export const MAX_DEPTH = 512;
/** Bytes of a component (NAME_MAX). */
export const MAX_NAME_BYTES = 255;
/** Bytes of a symbolic link's target (PATH_MAX without its end). */
export const MAX_TARGET_BYTES = 4095;
/** Symbolic links on the way to an entry (path_resolution(7)). */
export const MAX_LINKS = 40;

/** Empty directories of a layer that a later entry of the same layer replaces by something else. */
export const MAX_REPLACED_DIRECTORIES = 100;

/** MiB of heap of the thread that unpacks a layer. */
export const THREAD_HEAP_MIB = 1024;

/** Bytes of memory of the tar that writes a layer: it keeps symbolic links and directories with their attributes to the end. */
export const MAX_TAR_MEMORY_BYTES = 256 * MIB;
/** Seconds of processor time of this tar, which seeks among the directories of a layer for each one of them. */
export const MAX_TAR_CPU_SECONDS = 1800;
