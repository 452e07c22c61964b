#!/usr/bin/env bash
# Installs what swift-store.py starts: OpenStack Swift and Keystone into a virtual environment of
# Python's, memcached from Debian.
#   install-swift.sh DIR
# As root on Debian it installs python3-venv and memcached; else it says what is missing. Quick
# when all is there; a change of swift-requirements.txt makes DIR anew.
set -euo pipefail
dir=${1:?a directory for the virtual environment}
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/swift-requirements.txt
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

present() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; }

missing=()
present memcached || missing+=(memcached)
# The module is there without the package, but cannot make what pip needs.
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "missing Debian packages; install them as root:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    install_all() { "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; }
    # The lists may be old or absent: then the first try fails, and they are fetched.
    install_all || { "${apt[@]}" update && install_all; }
fi

stamp=$(cat "$requirements" "$here/swift-store.py" | sha256sum)
[ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

pinned=$(sha256sum <"$requirements")
if [ "$(cat "$dir/pinned" 2>/dev/null)" != "$pinned" ]; then
    rm -rf "$dir/pinned" "$dir/venv"
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        --no-deps -r "$requirements"
    printf '%s' "$pinned" >"$dir/pinned"
fi
"$dir/venv/bin/python" "$here/swift-store.py" template "$dir/keystone"
printf '%s' "$stamp" >"$dir/stamp"
echo "install-swift.sh: Swift and Keystone are in $dir"
