#!/bin/bash
# Installs what ceph-rgw.sh starts, from Debian's own packages. Quick when all is there.
set -euo pipefail

PACKAGES=(ceph-mon ceph-osd radosgw ceph-common curl openssl)

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}\n' "${PACKAGES[@]}" 2>/dev/null | grep -c '^ii')" \
    -eq ${#PACKAGES[@]} ]
}

if installed; then
  echo "install-ceph.sh: all there"
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
APT=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
install_all() { "${APT[@]}" install -y --no-install-recommends "${PACKAGES[@]}"; }

# The lists may be old or absent: then the first try fails, and they are fetched.
install_all || { "${APT[@]}" update && install_all; }
installed || { echo "install-ceph.sh: not all of ${PACKAGES[*]} are installed" >&2; exit 1; }
