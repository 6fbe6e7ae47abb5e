# shellcheck shell=bash
# Sourced by test/run after deploy/lib/packages.sh: node_modules of a lock file, kept for the next checkout.

# need_kept_modules ROOT: as need_node_modules; what npm installed is kept in ${PROXMOX_LXCRI_CACHE:-/var/cache/proxmox-lxcri-test}
# under a hash of what decides it, and unpacked where ROOT has none: in 2 s instead of 30.
need_kept_modules() {
  local root=$1 store archive
  store=${PROXMOX_LXCRI_CACHE:-/var/cache/proxmox-lxcri-test}/modules
  if [[ -e $root/node_modules ]]; then
    need_node_modules "$root"
    return
  fi
  archive=$store/$(cat "$root"/{package.json,package-lock.json,.npmrc} <(uname -m) | sha256sum | cut -c 1-16).tar
  if [[ -e $archive ]] && tar --extract --file "$archive" --directory "$root"; then
    touch "$archive" "$root/node_modules/.package-lock.json"
    return
  fi
  rm -rf "$root/node_modules"
  need_node_modules "$root" || return
  mkdir -p "$store"
  find "$store" -type f -mtime +7 -delete
  # Without room for it the next checkout only takes longer.
  { tar --create --file "$archive.$$" --directory "$root" node_modules && mv "$archive.$$" "$archive"; } || rm -f "$archive.$$"
}
