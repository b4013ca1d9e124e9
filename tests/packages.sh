#!/bin/sh
# Installs the system packages that a build needs, or names them.
# A C compiler: Rust links with it, and a few crates bring C code. Nothing else: the V4L2 bindings are kept in the tree.
set -eu

needed=""
command -v cc >/dev/null 2>&1 || needed="$needed gcc libc6-dev"
echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || case "$needed" in
    *libc6-dev*) ;;
    *) needed="$needed libc6-dev" ;;
esac
if [ "${1:-}" = gpu ]; then
    ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 || needed="$needed mesa-vulkan-drivers"
    ls /usr/lib/*/libvulkan.so.1 >/dev/null 2>&1 || needed="$needed libvulkan1"
fi
if [ "${1:-}" = vm ]; then
    command -v qemu-system-aarch64 >/dev/null 2>&1 || needed="$needed qemu-system-arm"
    command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || needed="$needed gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    command -v python3 >/dev/null 2>&1 || needed="$needed python3"
fi
command -v cargo >/dev/null 2>&1 || {
    echo "cargo was not found. Install Rust with rustup, then run this again." >&2
    exit 1
}
[ -n "$needed" ] || exit 0

if [ "$(id -u)" = 0 ]; then run=""; elif command -v sudo >/dev/null 2>&1; then run="sudo"; else run="none"; fi
if [ "$run" = none ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "The build needs these packages:$needed" >&2
    echo "Install them (Debian, Ubuntu: apt-get install$needed), then run this again." >&2
    exit 1
fi
echo "installing:$needed"
# shellcheck disable=SC2086
$run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends $needed
