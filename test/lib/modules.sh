# shellcheck shell=bash
# Sourced by test/run after deploy/lib/packages.sh: node_modules of a lock file and what Node.js compiled, kept for the next
# checkout.

# modules_of ROOT: names what is kept of ROOT, without an extension, by a hash of what decides node_modules.
modules_of() {
  local store=${PROXMOX_LXCRI_CACHE:-/var/cache/proxmox-lxcri-test}/modules
  mkdir -p "$store"
  echo "$store/$(cat "$1"/{package.json,package-lock.json,.npmrc} <(uname -m) | sha256sum | cut -c 1-16)"
}

# keep_directory ROOT DIRECTORY ARCHIVE: without room for it the next checkout only takes longer.
keep_directory() {
  { tar --create --file "$3.$$" --directory "$1" "$2" && mv "$3.$$" "$3"; } || rm -f "$3.$$"
}

# need_kept_modules ROOT: as need_node_modules; what npm installed is kept in ${PROXMOX_LXCRI_CACHE:-/var/cache/proxmox-lxcri-test}
# under a hash of what decides it, and unpacked where ROOT has none: in 2 s instead of 30.
need_kept_modules() {
  local root=$1 archive
  if [[ -e $root/node_modules ]]; then
    need_node_modules "$root"
    return
  fi
  archive=$(modules_of "$root").tar
  if [[ -e $archive ]] && tar --extract --file "$archive" --directory "$root"; then
    touch "$archive" "$root/node_modules/.package-lock.json"
    return
  fi
  rm -rf "$root/node_modules"
  need_node_modules "$root" || return
  find "${archive%/*}" -type f -mtime +7 -delete
  keep_directory "$root" node_modules "$archive"
}

# need_compile_cache ROOT: what an earlier checkout compiled, where ROOT has nothing; Node.js takes what fits its source.
need_compile_cache() {
  local archive
  archive=$(modules_of "$1").compiled.tar
  [[ -e $1/.cache/node || ! -e $archive ]] || tar --extract --file "$archive" --directory "$1" || rm -rf "$1/.cache/node"
}

# keep_compile_cache ROOT
keep_compile_cache() { keep_directory "$1" .cache/node "$(modules_of "$1").compiled.tar"; }
