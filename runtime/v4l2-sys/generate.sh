#!/bin/sh
# Makes src/linux_64.rs and src/linux_arm.rs anew, for x86-64, AArch64 and ARMv7. Needed only for a newer header.
#   apt-get install libclang-dev linux-libc-dev-arm64-cross linux-libc-dev-armhf-cross \
#       libc6-dev-arm64-cross libc6-dev-armhf-cross
#   cargo install bindgen-cli --version 0.65.1     (the version that v4l2-sys-mit 0.3.0 uses)
set -eu
cd "$(dirname "$0")"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

make_bindings() { # FILE CLANG-ARGUMENTS...
    file=$1
    shift
    bindgen wrapper.h --no-layout-tests --no-doc-comments \
        --allowlist-type 'v4l2_.*' --allowlist-type 'time_t' --allowlist-var 'V4L2_.*' --allowlist-var 'VIDEO_.*' -- "$@" > "$made/$file"
}

# One set of kernel headers for both, so that two versions of them cannot differ.
make_bindings x86_64.rs --target=x86_64-linux-gnu -nostdinc -isystem /usr/aarch64-linux-gnu/include
make_bindings aarch64.rs --target=aarch64-linux-gnu -nostdinc -isystem /usr/aarch64-linux-gnu/include
make_bindings arm.rs --target=armv7-linux-gnueabihf -nostdinc -isystem /usr/arm-linux-gnueabihf/include

# One file serves both, as long as it is the same.
cmp "$made/x86_64.rs" "$made/aarch64.rs"
cp "$made/x86_64.rs" src/linux_64.rs
cp "$made/arm.rs" src/linux_arm.rs
