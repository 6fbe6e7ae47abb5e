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

# need_node_modules ROOT [NPM OPTION...]: installs what the lock file says in ROOT when node_modules lacks Node.js or is older than the lock file.
# Node.js 24 itself comes with it (node_modules/.bin/node); the node and npm of the machine, any version from 18, only
# start it.
need_node_modules() {
  local root=$1 modules=$1/node_modules
  shift
  if [[ -x $modules/.bin/node && ! $root/package-lock.json -nt $modules/.package-lock.json ]]; then return 0; fi
  command -v npm >/dev/null || need_packages node@nodejs npm@npm || return
  npm_install "$root" npm "$@" || return
  # npm leaves out optional packages that the running Node.js is too old for; tools for development have such ones.
  if [[ " $* " != *' --omit=dev '* && $(node -p 'parseInt(process.versions.node)') -lt 22 ]]; then
    npm_install_by_own_node "$root" "$@" || return
  fi
  touch "$modules/.package-lock.json"
}

# npm_install ROOT NPM [OPTION...]: NPM is the command to use, in words. Not `npm ci`: that refuses a lock file without the
# packages of other platforms, which not every registry mirror has; --no-save keeps the lock file as it is all the same.
npm_install() {
  local root=$1 npm
  read -ra npm <<<"$2"
  shift 2
  echo "npm install $*" >&2
  (
    cd "$root" || exit
    rm -rf node_modules
    "${npm[@]}" install --no-save --no-fund --no-audit --loglevel=error "$@" || exit
    # npm 9 and 10 forget to link the programs of optional packages.
    [[ -x node_modules/.bin/node ]] || "${npm[@]}" rebuild --loglevel=error
  ) >&2
}

# npm_install_by_own_node ROOT [OPTION...]: the machine's npm, run by the Node.js that was just installed. That one is copied,
# since node_modules is removed first.
npm_install_by_own_node() {
  local root=$1 copy rc=0
  shift
  copy=$(mktemp -d) || return
  cp -L "$root/node_modules/.bin/node" "$copy/node" || return
  PATH=$copy:$PATH npm_install "$root" "$copy/node $(readlink -f "$(command -v npm)")" "$@" || rc=$?
  rm -rf "$copy"
  return "$rc"
}

# need_native ROOT: builds the native helper of ROOT (src/native) unless that is done, with the compiler that it needs.
need_native() {
  need_packages cc@gcc libc6-dev || return
  "$1/src/native/build" >&2
}
