#!/usr/bin/env bash
# Sees to it that what the build and the tests need is there: Debian packages by apt where this is
# root, else a clear list. Quick when nothing is missing.
#   scripts/setup.sh build | test
set -euo pipefail
what=${1:-test}

# program or file : Debian package
need_build=(clang:clang /usr/lib/llvm-*/lib/libclang.so*:libclang-dev cc:gcc c++:g++ make:make)
need_test=(nbdinfo:libnbd-bin nbdsh:python3-libnbd nbdkit:nbdkit fio:fio qemu-img:qemu-utils qemu-nbd:qemu-utils
    nbdfuse:libnbd-bin losetup:mount prlimit:util-linux script:bsdutils mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs xz:xz-utils ldd:libc-bin
    systemd-analyze:systemd)

present() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    # A user's PATH may lack what root's has.
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

missing=()
check() {
    local pair
    for pair in "$@"; do
        present "${pair%%:*}" || missing+=("${pair#*:}")
    done
}
check "${need_build[@]}"
[ "$what" = build ] || check "${need_test[@]}"

if [ "$what" != build ] && ! command -v radosgw >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        bash "$(dirname "$0")/../tests/stores/install-ceph.sh"
    else
        echo "missing: Ceph (tests/stores/install-ceph.sh as root); its tests are skipped" >&2
        [ "${CI:-}" != true ] || exit 1
    fi
fi

if [ "$what" != build ] &&
    ! bash "$(dirname "$0")/../tests/stores/install-swift.sh" "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/swift"; then
    echo "missing: OpenStack Swift (above); its tests are skipped" >&2
    [ "${CI:-}" != true ] || exit 1
fi

if [ "$what" != build ] &&
    ! bash "$(dirname "$0")/../tests/openapi/install.sh" "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/openapi"; then
    echo "missing: schemathesis (above); its test is skipped" >&2
    [ "${CI:-}" != true ] || exit 1
fi

if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [ "$(id -u)" != 0 ]; then
        echo "missing Debian packages; install them as root:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        if [ "$what" = build ] || [ "${CI:-}" = true ]; then exit 1; fi
        echo "tests that need them are skipped and say so" >&2
    else
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q -o DPkg::Lock::Timeout=300 update
        apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
    fi
fi

# QEMU, and a kernel for its guest, which stays beside the builds.
if [ "$what" != build ] &&
    ! bash "$(dirname "$0")/../tests/guest/install.sh" "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/guest"; then
    echo "missing: QEMU or a kernel for a guest (above); its test is skipped" >&2
    [ "${CI:-}" != true ] || exit 1
fi

if ! command -v cargo >/dev/null; then
    echo "missing: the Rust toolchain (cargo); see https://rustup.rs" >&2
    exit 1
fi
if [ "$what" != build ] && ! command -v cargo-nextest >/dev/null; then
    echo "installing cargo-nextest"
    cargo install --locked cargo-nextest
fi
