#!/bin/bash
# Runs commands on a machine as a newcomer has it: a minimal Debian in a folder, with Rust, make, git and curl.
#   fresh.sh COMMAND...      e.g. fresh.sh 'make demo' 'make test'
# The commands run one after another in a clone of HEAD, as a user without root who may use sudo; the first exit status
# that is not 0 ends it. Needs root and mmdebstrap. Nothing outside the folder changes.
#   FRESH_EXTRA=libclang-cpp14   packages that a real machine may have beside the minimum
#   FRESH_DIR=/var/lib/...       the folder, made anew each time (default: target/fresh)
#   FRESH_SUITE=bookworm         the Debian release
set -eu
project=$(git rev-parse --show-toplevel)
root=${FRESH_DIR:-$project/target/fresh}
suite=${FRESH_SUITE:-bookworm}
toolchains=${RUSTUP_HOME:-$HOME/.rustup}
cargo=${CARGO_HOME:-$HOME/.cargo}

[ "$(id -u)" = 0 ] || { echo "fresh.sh makes a file system and needs root: sudo make test-fresh RUSTUP_HOME=$toolchains CARGO_HOME=$cargo" >&2; exit 1; }
command -v mmdebstrap >/dev/null 2>&1 || { echo "fresh.sh needs mmdebstrap: apt-get install mmdebstrap" >&2; exit 1; }
[ -d "$toolchains" ] || { echo "no Rust toolchain in $toolchains: install Rust with rustup" >&2; exit 1; }

release() {
    for place in "$root$toolchains" "$root/proc" "$root/dev"; do
        # Where mounts are shared, unmounting would otherwise reach the host's own /dev/pts and /dev/shm.
        if mountpoint -q "$place"; then mount --make-rslave "$place"; umount -l "$place"; fi
    done
}
# A mount that an earlier run left behind must not be emptied with the folder.
release
rm -rf --one-file-system "$root"
mkdir -p "$(dirname "$root")"
mmdebstrap --quiet --variant=minbase --include="ca-certificates,make,git,sudo,curl ${FRESH_EXTRA:-}" "$suite" "$root"
trap release EXIT
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
chroot "$root" useradd -m -s /bin/bash new
echo 'new ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/new"
mkdir -p "$root$toolchains" "$root/home/new/.cargo"
cp -r "$cargo/bin" "$root/home/new/.cargo/"
if [ -e "$cargo/config.toml" ]; then cp "$cargo/config.toml" "$root/home/new/.cargo/"; fi
# At the same place as outside: a toolchain may be a link with an absolute path.
chmod 755 "$root$(dirname "$toolchains")"
mount --bind "$toolchains" "$root$toolchains"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
git clone -q "$project" "$root/home/new/project"
chroot "$root" chown -R new:new /home/new/project /home/new/.cargo
for command in "$@"; do
    echo "== $command"
    chroot "$root" su - new -c "export RUSTUP_HOME=$toolchains RUSTUP_AUTO_INSTALL=0 \
PATH=\$HOME/.cargo/bin:\$PATH; cd project && $command"
done
