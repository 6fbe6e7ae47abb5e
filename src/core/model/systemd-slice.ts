/** Whether a text is the name of a systemd slice such as `kubepods-burstable.slice`, or `-.slice` for the root (systemd.slice(5)). */
export function isSliceName(name: string): boolean {
  return name === '-.slice' || (/^[\w.:@\\]+(-[\w.:@\\]+)*\.slice$/.test(name) && name.length <= 255);
}

/**
 * The cgroup path of a slice: each dash in its name is a level (systemd.slice(5)), so that `a-b.slice` is
 * `/a.slice/a-b.slice`. `name` has passed {@link isSliceName}.
 */
export function slicePath(name: string): string {
  if (name === '-.slice') return '/';
  const parts = name.slice(0, -'.slice'.length).split('-');
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('-')}.slice`).join('');
}
