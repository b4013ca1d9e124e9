#!/bin/sh
# The kernels' tests for AArch64, under emulation: a processor without dot products (Cortex-A72: Raspberry Pi 4), one with
# SDOT (Cortex-A76: Raspberry Pi 5) and one with I8MM. Every tier gives the integers of the portable reference there.
#
# It needs a cross linker, qemu and Rust's standard library for the target; RUSTC=... chooses another compiler.
set -eu
target=aarch64-unknown-linux-gnu
folder=${CARGO_TARGET_DIR:-target}/arm
if ! command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || ! command -v qemu-aarch64-static >/dev/null 2>&1; then
    echo "needed: sudo apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
    exit 1
fi
if [ -z "${RUSTC:-}" ] && ! rustup target list --installed 2>/dev/null | grep -qx $target; then
    echo "needed: rustup target add $target (or RUSTC=... with a compiler that has it)"
    exit 1
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
programs=$(CARGO_TARGET_DIR=$folder cargo test --release --target $target -p comet-kernels --lib --tests --no-run 2>&1 |
    tee /dev/stderr | sed -n 's/.*Executable .*(\(.*\))$/\1/p')
[ -n "$programs" ] || { echo "the tests could not be built"; exit 1; }
# The libraries of the cross compiler, and not others that the machine may have for this architecture.
root=/usr/aarch64-linux-gnu
cd runtime/kernels
failed=0
for processor in cortex-a72 cortex-a76 max; do
    for program in $programs; do
        case $program in /*) ;; *) program=../../$program ;; esac
        name=$(basename "$program")
        if timeout 600 qemu-aarch64-static -cpu $processor -L $root -E LD_LIBRARY_PATH=$root/lib "$program" \
            > "../../target/arm-test.log" 2>&1; then
            echo "$processor ${name%-*}: $(sed -n 's/^test result: //p' ../../target/arm-test.log)"
        else
            failed=1
            cat ../../target/arm-test.log
            echo "$processor ${name%-*}: FAILED"
        fi
    done
done
[ $failed = 0 ] && echo "AArch64: every kernel test passed on cortex-a72, cortex-a76 and max (emulated)"
exit $failed
