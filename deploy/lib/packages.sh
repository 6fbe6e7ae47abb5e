# shellcheck shell=bash
# Sourced by deploy/quickstart and test/run: installs Debian packages, only those that are missing, and starts no service.

# need_packages [COMMAND@]PACKAGE...: installs each package whose command (without one: the package itself, as dpkg
# knows it) is not there. Output of apt goes to standard error. Services that Debian would start on installation
# (lxc-net makes a bridge, docker-registry opens a port) stay stopped: nothing here asks for them.
need_packages() {
  local item missing=()
  for item in "$@"; do
    if [[ $item == *@* ]]; then
      command -v "${item%@*}" >/dev/null || missing+=("${item#*@}")
    else
      [[ $(dpkg-query -W -f '${db:Status-Status}' "$item" 2>/dev/null) == installed ]] || missing+=("$item")
    fi
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "installing ${missing[*]}" >&2
  (
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
      trap 'rm -f "$policy"' EXIT
      trap 'exit 1' INT TERM
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    apt-get -o DPkg::Lock::Timeout=300 -qq update
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq -y --no-install-recommends install "${missing[@]}"
  ) >&2
}

# need_node_modules ROOT [NPM OPTION...]: runs `npm ci` in ROOT when node_modules lacks Node.js or is older than the lock file.
# Node.js 24 itself comes with it (node_modules/.bin/node); the node and npm of the machine, any version from 18, only start it.
need_node_modules() {
  local root=$1
  shift
  if [[ -x $root/node_modules/.bin/node && ! $root/package-lock.json -nt $root/node_modules/.package-lock.json ]]; then return 0; fi
  command -v npm >/dev/null || need_packages node@nodejs npm@npm
  echo "npm ci $*" >&2
  (
    cd "$root" && npm ci --no-fund --no-audit --loglevel=error "$@" || exit
    # The npm of Debian 12 forgets to link the programs of optional dependencies.
    [[ -x node_modules/.bin/node ]] || npm rebuild --loglevel=error || exit
    touch node_modules/.package-lock.json
  ) >&2
}
