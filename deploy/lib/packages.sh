# shellcheck shell=bash
# Sourced by deploy/quickstart and test/run: installs Debian packages, only those that are missing, and starts no service.

# need_packages [PROGRAM@]PACKAGE...: installs each package whose program (a command, or the absolute path of a file;
# without one: the package itself, as dpkg knows it) is not there. Never removes a package: what cannot be installed beside
# those that are there is an error that names the remedy. Output of apt goes to standard error. The names of all that come
# are added to the file $PROXMOX_LXCRI_ANNOUNCE, if set. Services that Debian would start on installation (lxc-net makes a
# bridge, docker-registry opens a port) stay stopped: nothing here asks for them.
need_packages() {
  local item program missing=() programs=()
  for item in "$@"; do
    program=${item%@*}
    if [[ $item != *@* ]]; then
      [[ $(dpkg-query -W -f '${db:Status-Status}' "$item" 2>/dev/null) == installed ]] || missing+=("$item")
    elif [[ $program == /* ]]; then
      [[ -e $program ]] || { missing+=("${item#*@}"); programs+=("$program"); }
    else
      command -v "$program" >/dev/null || { missing+=("${item#*@}"); programs+=("$program"); }
    fi
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  (
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq)
    "${apt[@]}" update || exit
    plan=$("${apt[@]}" --simulate --no-install-recommends install "${missing[@]}") || exit
    if gone=$(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$plan" | sort | paste -sd ' ') && [[ -n $gone ]]; then
      echo "installing ${missing[*]} would remove $gone; nothing was changed."
      echo "Provide ${programs[*]:-them} in another way${programs[*]:+ (on Proxmox VE, lxc-start comes with lxc-pve)}, or remove those packages yourself, and retry."
      exit 1
    fi
    mapfile -t coming < <(sed -n 's/^Inst \([^ ]*\).*/\1/p' <<<"$plan" | sort)
    echo "installing ${missing[*]} (in all: ${coming[*]})"
    [[ -z ${PROXMOX_LXCRI_ANNOUNCE:-} ]] || printf '%s\n' "${coming[@]}" >>"$PROXMOX_LXCRI_ANNOUNCE"
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
      trap 'rm -f "$policy"' EXIT
      trap 'exit 1' INT TERM
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    "${apt[@]}" -y --no-install-recommends --no-remove install "${missing[@]}"
  ) >&2
}

# need_node_modules ROOT [NPM OPTION...]: installs what the lock file says in ROOT when node_modules lacks Node.js or is older than the lock file.
# Node.js 24 itself comes with it (node_modules/.bin/node); the node and npm of the machine, any version from 18, only
# start it.
need_node_modules() {
  local root=$1 modules=$1/node_modules
  shift
  # In test/sandbox there is no network: what is there has to do.
  if [[ -x $modules/.bin/node && (-n ${PROXMOX_LXCRI_TEST_CGROUP:-} || ! $root/package-lock.json -nt $modules/.package-lock.json) ]]; then return 0; fi
  command -v npm >/dev/null || need_packages node@nodejs npm@npm || return
  npm_install "$root" npm "$@" || return
  # npm leaves out optional packages that the running Node.js is too old for; tools for development have such ones.
  if [[ " $* " != *' --omit=dev '* && $(node -p 'parseInt(process.versions.node)') -lt 22 ]]; then
    npm_install_by_own_node "$root" "$@" || return
  fi
  touch "$modules/.package-lock.json"
}

# npm_install ROOT NPM [OPTION...]: NPM is the command to use, in words.
npm_install() {
  local root=$1 npm
  read -ra npm <<<"$2"
  shift 2
  echo "npm ci $*" >&2
  (
    cd "$root" || exit
    "${npm[@]}" ci --no-fund --no-audit --loglevel=error "$@" || exit
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
