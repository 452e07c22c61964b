#!/usr/bin/env bash
# What a test needs for a guest: QEMU, Debian's newest cloud kernel, and a static busybox.
#   tests/guest/install.sh DIR
# QEMU is installed (as root); kernel and busybox are only unpacked, into DIR. The backports that
# QEMU and the kernel come from are read through an apt configuration of this script's own: no
# source of the system is changed. Quick when all is there.
set -euo pipefail
dir=${1:?a directory for the kernel and busybox}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

have_qemu() { command -v qemu-system-x86_64 >/dev/null; }
have_parts() { [ -s "$dir/vmlinuz" ] && [ -s "$dir/virtio_blk.ko" ] && [ -s "$dir/busybox" ]; }

if have_qemu && have_parts; then exit 0; fi

# shellcheck source=/dev/null
. /etc/os-release
[ "${ID:-}" = debian ] || { echo "guest/install.sh: works on Debian only" >&2; exit 1; }
suite=$VERSION_CODENAME-backports

# The mirror that the system uses, once it has its lists.
mirror_of_system() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' |
        awk -v release="$VERSION_CODENAME" '$2 == release && !found { print $1; found = 1 }'
}
mirror=$(mirror_of_system)
if [ -z "$mirror" ] && [ "$(id -u)" = 0 ]; then
    apt-get -q -o DPkg::Lock::Timeout=300 update
    mirror=$(mirror_of_system)
fi
[ -n "$mirror" ] || { echo "guest/install.sh: no source of apt serves $VERSION_CODENAME" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{parts,lists/partial,cache/archives/partial,debs}
# apt's own downloader has to reach them when this is root.
chmod -R a+rX "$work"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
{
    echo "deb [signed-by=$keyring] $mirror $VERSION_CODENAME main"
    echo "deb [signed-by=$keyring] $mirror $suite main"
} >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
DPkg::Lock::Timeout "300";
CONF
export APT_CONFIG=$work/apt.conf DEBIAN_FRONTEND=noninteractive
apt-get -q update

if ! have_qemu; then
    if [ "$(id -u)" = 0 ]; then
        # From the suite that qemu-utils is from: their versions must be the same.
        from=$VERSION_CODENAME
        case $(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null || true) in
        *~bpo*) from=$suite ;;
        esac
        apt-get -q install -y -t "$from" --no-install-recommends qemu-system-x86
    else
        echo "missing: qemu-system-x86 (apt-get install --no-install-recommends, as root)" >&2
        exit 1
    fi
fi

if ! have_parts; then
    # The newest kernel is what the empty package depends on.
    kernel=$(apt-cache depends -t "$suite" linux-image-cloud-amd64 |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
    [ -n "$kernel" ] || { echo "guest/install.sh: no cloud kernel in $suite" >&2; exit 1; }
    (cd "$work/debs" && apt-get -q download -t "$suite" "$kernel" &&
        apt-get -q download busybox-static)
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$work/root"
    done
    release=$(basename "$work"/root/boot/vmlinuz-*)
    release=${release#vmlinuz-}
    # The disk is the one device that this kernel has no built-in driver for.
    found=("$work/root"/lib/modules/"$release"/kernel/drivers/block/virtio_blk.ko* \
        "$work/root"/usr/lib/modules/"$release"/kernel/drivers/block/virtio_blk.ko*)
    for module in "${found[@]}"; do
        case $module in
        *.xz) [ ! -f "$module" ] || xz -dc "$module" >"$work/virtio_blk.ko" ;;
        *.ko) [ ! -f "$module" ] || cp "$module" "$work/virtio_blk.ko" ;;
        esac
    done
    busybox=("$work"/root/bin/busybox "$work"/root/usr/bin/busybox)
    for program in "${busybox[@]}"; do
        [ ! -f "$program" ] || cp "$program" "$work/busybox"
    done
    # Whole or not at all: an interrupted copy is not taken for a kernel.
    cp "$work/root/boot/vmlinuz-$release" "$work/vmlinuz"
    for part in vmlinuz virtio_blk.ko busybox; do
        cp "$work/$part" "$dir/.$part.new"
        mv "$dir/.$part.new" "$dir/$part"
    done
fi
have_qemu && have_parts
