# shellcheck shell=bash
# Sourced by deploy/quickstart and test/run: installs Debian packages, only those that are missing, and starts no service.

# shellcheck source=node-modules.sh
. "$(dirname "${BASH_SOURCE[0]}")/node-modules.sh"

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
    # The plan is read.
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    apt=(apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -q)
    "${apt[@]}" update || exit
    plan=$("${apt[@]}" -y --print-uris --no-install-recommends install "${missing[@]}") || exit
    if gone=$(planned REMOVED <<<"$plan" | paste -sd ' ') && [[ -n $gone ]]; then
      echo "installing ${missing[*]} would remove $gone; nothing was changed."
      echo "Provide ${programs[*]:-them} in another way${programs[*]:+ (on Proxmox VE, lxc-start comes with lxc-pve)}, or remove those packages yourself, and retry."
      exit 1
    fi
    mapfile -t coming < <(planned 'installed|upgraded' <<<"$plan")
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

# planned WHAT: prints the packages of a list in the plan of apt-get on standard input, such as "The following packages will
# be REMOVED:". A simulation would take three times as long.
planned() { awk -v what="^The following .*packages will be ($1):" '/^[^ ]/ { on = $0 ~ what } on && /^ / { gsub(/\*/, ""); for (i = 1; i <= NF; i++) print $i }' | sort -u; }

# build_packages ROOT: prints the packages that need_node_modules and need_native need, to install them along with others.
build_packages() {
  npm_packages "$1"
  printf '%s\n' cc@gcc libc6-dev
}

# need_native ROOT: builds the native helper of ROOT (src/native) unless that is done, with the compiler that it needs.
need_native() {
  need_packages cc@gcc libc6-dev || return
  "$1/src/native/build" >&2
}
