#!/bin/sh
# Builds the Debian package (scripts/package.sh), and installs, uses, removes, reinstalls and purges
# it on a copy of this system that is thrown away: an overlay over /, seen by this script alone. As
# root, on Debian.
#
#     tests/package.sh [PROFILE]
set -eu
cd "$(dirname "$0")/.."

[ -n "${VPOOL_DEB:-}" ] || VPOOL_DEB=$(scripts/package.sh "$@")
export VPOOL_DEB
[ "$(id -u)" = 0 ] || { echo "not root: built, not installed" >&2; exit 1; }
# In a mount namespace of its own: whatever happens, nothing stays mounted.
if [ -z "${VPOOL_COPY:-}" ]; then
    VPOOL_COPY=$(mktemp -d)
    export VPOOL_COPY
    rc=0
    unshare --mount --propagation private tests/package.sh || rc=$?
    rmdir "$VPOOL_COPY"
    exit $rc
fi

copy=$VPOOL_COPY
echo "package: $VPOOL_DEB"
mount -t tmpfs -o mode=755 tmpfs "$copy"
mkdir "$copy/upper" "$copy/work" "$copy/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
root=$copy/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/var/lib/vpool.deb"
cp "$VPOOL_DEB" "$root/var/lib/vpool.deb/vpool.deb"

pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true' EXIT
in_copy() { chroot "$root" "$@"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
there() { [ -e "$root$1" ] || [ -L "$root$1" ] || fail "$1 is missing $2"; }
gone() { [ ! -e "$root$1" ] && [ ! -L "$root$1" ] || fail "$1 is there $2"; }

# Starts the daemon as the unit would, waits for its greeting, runs a command, ends it.
serve() {
    rm -f "$copy/greeting"
    mkfifo "$copy/greeting"
    mkdir -p "$root/run/vpool" "$root/var/lib/vpool"
    chroot "$root" chown vpool:vpool /run/vpool /var/lib/vpool
    chroot --userspec=vpool:vpool "$root" /usr/bin/vpoold run --journal-size 256M --cache-size 0 \
        --memory 256M >"$copy/greeting" 2>"$copy/log" &
    pid=$!
    head -n 1 "$copy/greeting" | grep -q '^vPool ' || { cat "$copy/log" >&2; fail "it does not serve"; }
    in_copy "$@" || fail "$*"
    kill "$pid"
    wait "$pid" || fail "the daemon ended with $?"
    pid=
}

export DEBIAN_FRONTEND=noninteractive
wanted=/etc/systemd/system/multi-user.target.wants/vpoold.service
in_copy dpkg -i /var/lib/vpool.deb/vpool.deb
for file in /usr/bin/vpoold /usr/bin/vpool /etc/vpool/vpoold.toml /usr/share/doc/vpool/vpoold.toml.sample "$wanted"; do
    there "$file" "after the installation"
done
in_copy getent passwd vpool >/dev/null || fail "no user vpool"
in_copy getent group vpool >/dev/null || fail "no group vpool"
in_copy vpoold config | grep -q '^nbd.socket  *"/run/vpool/nbd.sock"  */etc/vpool/vpoold.toml:' || fail "the settings"

# The command's pages and completions: each page is whole, and the completions know the verbs.
pages=/usr/share/man/man1
bash_completion=/usr/share/bash-completion/completions/vpool
for file in $pages/vpool.1.gz $pages/vpool-pool-set.1.gz $pages/vpool-disk-import.1.gz $bash_completion \
    /usr/share/zsh/vendor-completions/_vpool /usr/share/fish/vendor_completions.d/vpool.fish; do
    there "$file" "after the installation"
done
[ "$(ls "$root$pages"/vpool*.1.gz | wc -l)" -ge 30 ] || fail "pages are missing"
for page in "$root$pages"/vpool*.1.gz; do
    # As man says it, which knows how to read it, to a terminal of 80 columns.
    MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -l "$page" >"$copy/page" 2>"$copy/said" || fail "man -l $page"
    # A long word, as the name of a choice, cannot be adjusted: nothing is wrong with the page.
    ! grep -v 'cannot adjust line' "$copy/said" || fail "man -l $page"
    grep -q '^NAME' "$copy/page" || fail "$page says nothing"
done
in_copy bash -c "set -eu; . $bash_completion; complete -p vpool >/dev/null
    COMP_WORDS=(vpool pool s) COMP_CWORD=2 COMP_LINE='vpool pool s' COMP_POINT=12
    _vpool vpool s pool; printf '%s\n' \"\${COMPREPLY[@]}\"" >"$copy/completed" || fail "the completion for bash"
grep -qx set "$copy/completed" || fail "bash does not complete vpool pool set"
if command -v zsh >/dev/null; then zsh -n "$root/usr/share/zsh/vendor-completions/_vpool"; fi
if command -v fish >/dev/null; then fish -n "$root/usr/share/fish/vendor_completions.d/vpool.fish"; fi

[ "$(in_copy dpkg-query -W -f '${Conffiles}' vpool | grep -c /etc/vpool/vpoold.toml)" = 1 ] || fail "no conffile"
serve vpool disk create kept --size 1G

in_copy dpkg -r vpool
gone /usr/bin/vpoold "after the removal"
gone "$pages/vpool.1.gz" "after the removal"
gone "$bash_completion" "after the removal"
there /etc/vpool/vpoold.toml "after the removal"
there /var/lib/vpool/grid.key "after the removal"

in_copy dpkg -i /var/lib/vpool.deb/vpool.deb
serve vpool disk show kept

in_copy dpkg -P vpool
gone /etc/vpool/vpoold.toml "after the purge"
gone "$wanted" "after the purge"
there /var/lib/vpool/grid.key "after the purge"
echo "installed, used, removed, installed again, used, purged"
