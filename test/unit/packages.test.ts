import { spawnSync } from 'node:child_process';
import anyTest, { type TestFn } from 'ava';

const sandbox = new URL('../sandbox', import.meta.url).pathname;
const test = (process.getuid?.() === 0 ? anyTest : anyTest.skip) as TestFn;

/**
 * A repository of dummy packages with the relations of the real ones, and its own dpkg database: `lxc` and `lxc-pve`
 * conflict, and Proxmox VE depends on the second.
 */
const SETTING = `
  set -eu
  cd "$(mktemp -d /run/packages.XXXXXX)"
  here=$PWD
  mkdir -p repository dpkg/info dpkg/updates dpkg/triggers lists/partial cache/archives/partial upper work
  : >dpkg/status
  # What need_packages writes there for a moment does not reach the machine.
  mount -t overlay -o lowerdir=/usr/sbin,upperdir=$here/upper,workdir=$here/work overlay /usr/sbin
  cat >apt.conf <<END
Dir::State "$here";
Dir::State::status "$here/dpkg/status";
Dir::State::lists "$here/lists";
Dir::Cache "$here/cache";
Dir::Etc::sourcelist "$here/sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Log "$here";
APT::Sandbox::User "root";
Dpkg::Options { "--admindir=$here/dpkg"; "--force-not-root"; };
END
  echo "deb [trusted=yes] file:$here/repository ./" >sources
  export APT_CONFIG=$here/apt.conf DPKG_ADMINDIR=$here/dpkg
  unset PROXMOX_LXCRI_ANNOUNCE
  package() {
    mkdir -p "tree/DEBIAN"
    printf 'Package: %s\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' "$1" >tree/DEBIAN/control
    [ -z "$2" ] || printf '%s\\n' "$2" >>tree/DEBIAN/control
    dpkg-deb --build tree "repository/$1.deb" >/dev/null
    { cat tree/DEBIAN/control; printf 'Filename: ./%s.deb\\nSize: %s\\nSHA256: %s\\n\\n' "$1" "$(stat -c %s "repository/$1.deb")" "$(sha256sum <"repository/$1.deb" | cut -d' ' -f1)"; } >>repository/Packages
  }
  package lxc 'Depends: liblxc-stand-in'
  package liblxc-stand-in ''
  package lxc-pve 'Conflicts: lxc'
  package pve-container 'Depends: lxc-pve'
  package pve-manager 'Depends: pve-container'
  . "$OLDPWD/deploy/lib/packages.sh"
  installed() { dpkg-query -W -f '\${Package} \${db:Status-Status}\\n' | sed -n 's/ installed$//p' | sort | paste -sd ' '; }
`;

function bash(script: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(sandbox, ['bash', '-c', SETTING + script], { encoding: 'utf8' });
}

test('packages that would remove Proxmox VE are refused', (t) => {
  const { stdout, stderr, status } = bash(`
    need_packages pve-manager 2>/dev/null
    installed
    rc=0
    need_packages no-such-lxc-start@lxc || rc=$?
    installed
    exit $rc
  `);
  const proxmox = 'lxc-pve pve-container pve-manager\n';
  t.is(stdout, proxmox + proxmox, stderr);
  t.is(status, 1);
  t.regex(stderr, /installing lxc would remove lxc-pve pve-container pve-manager; nothing was changed/);
  t.regex(stderr, /Provide no-such-lxc-start in another way \(on Proxmox VE, lxc-start comes with lxc-pve\)/);
});

test('a program that exists needs no package', (t) => {
  const { stdout, stderr, status } = bash(`
    need_packages pve-manager 2>/dev/null
    need_packages sh@lxc /bin/sh@lxc
    installed
  `);
  t.is(stdout, 'lxc-pve pve-container pve-manager\n', stderr);
  t.is(status, 0);
});

test('missing packages are announced and installed', (t) => {
  const { stdout, stderr, status } = bash(`
    export PROXMOX_LXCRI_ANNOUNCE=$here/announced
    need_packages no-such-lxc-start@lxc
    installed
    paste -sd ' ' announced
  `);
  t.is(stdout, 'liblxc-stand-in lxc\nliblxc-stand-in lxc\n', stderr);
  t.is(status, 0);
});

test('failing to get npm names the remedy', (t) => {
  const { stdout, stderr, status } = bash(`
    command() { [ "$2" != npm ] && builtin command "$@"; }
    # A pip that finds another file than the pinned one.
    python3() { case "$*" in *--version) ;; *) echo 'hashes do not match' >&2; return 1 ;; esac; }
    rc=0
    need_node_modules "$here" || rc=$?
    ls -A .cache
    exit $rc
  `);
  t.is(status, 1);
  t.is(stdout, '', 'nothing is left');
  t.regex(stderr, /hashes do not match[^]*no npm[^]*Install Node.js 18 or newer with npm yourself/);
});
