# shellcheck shell=bash
# Sourced by tests on fresh Debian systems: minimal roots, and their access to the package mirror of this machine.

# debian_mirror: prints the address of the Debian mirror this machine uses itself.
debian_mirror() {
  # shellcheck disable=SC2016 # apt expands it
  apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }'
}

# debian_base CACHE SUITE: prints the path of a minimal root of that release as a tar file in CACHE/quickstart, which is
# built once. Output of debootstrap goes to standard error.
debian_base() {
  local directory=$1/quickstart suite=$2 tree status=0
  if [[ ! -f $directory/$suite.tar.zst ]]; then
    mkdir -p "$directory"
    tree=$(mktemp -d "$directory/base.XXXXXX")
    {
      debootstrap --variant=minbase --include=ca-certificates "$suite" "$tree" "$(debian_mirror)" &&
        tar --create --zstd --numeric-owner --xattrs --one-file-system --directory "$tree" --file "$tree.tar.zst" . &&
        mv "$tree.tar.zst" "$directory/$suite.tar.zst"
    } >&2 || status=1
    rm -rf --one-file-system "$tree" "$tree.tar.zst"
    [[ $status == 0 ]] || return "$status"
  fi
  echo "$directory/$suite.tar.zst"
}

# debian_network TREE: gives apt in TREE this machine's access to registries: name resolution, certificates, proxies.
debian_network() {
  local tree=$1 bundle
  cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"
  for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    [[ -f $bundle ]] && cp -L "$bundle" "$tree/etc/ssl/machine.crt" && break
  done
  apt-config dump | grep -E '^Acquire::(Check|http|https|Retries|ForceIPv)' >"$tree/etc/apt/apt.conf.d/99machine" || true
}
