#!/usr/bin/env bash
# Installs schemathesis into a virtual environment of Python's, for tests/tests/api/openapi.rs.
#   install.sh DIR
# As root on Debian it installs python3-venv; else it says what is missing. Quick when all is there;
# a change of requirements.txt makes DIR anew.
set -euo pipefail
dir=${1:?a directory for the virtual environment}
requirements=$(cd "$(dirname "$0")" && pwd)/requirements.txt
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The module is there without the package, but cannot make what pip needs.
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "missing Debian packages; install them as root:" >&2
        echo "  apt-get install --no-install-recommends python3-venv" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    install() { "${apt[@]}" install -y --no-install-recommends python3-venv; }
    # The lists may be old or absent: then the first try fails, and they are fetched.
    install || { "${apt[@]}" update && install; }
fi

pinned=$(sha256sum <"$requirements")
[ "$(cat "$dir/pinned" 2>/dev/null)" != "$pinned" ] || exit 0
rm -rf "$dir/pinned" "$dir/venv"
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    --no-deps -r "$requirements"
printf '%s' "$pinned" >"$dir/pinned"
echo "install.sh: schemathesis is in $dir"
