#!/bin/sh
# comet-edge on virtual ARM boards with a camera of the kernel: `vm.sh COMET_EDGE`, which is this machine's own program.
# It is built for AArch64, predicts twenty frames on each board, and the same frames here; see tests/vm/README.md.
#
# The compiler for the board is the first that is there: RUSTC, rustup's target, Debian's rustc-web, cross.
set -eu
here=$1
frames=20
target=aarch64-unknown-linux-gnu
folder=target/vm
model=models/hands.int8.onnx

missing=""
command -v qemu-system-aarch64 > /dev/null 2>&1 || missing="$missing qemu-system-arm"
command -v aarch64-linux-gnu-gcc > /dev/null 2>&1 || missing="$missing gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
command -v python3 > /dev/null 2>&1 || missing="$missing python3"
if [ -n "$missing" ]; then
    echo "needed: sudo apt-get install$missing"
    exit 1
fi

# A folder of its own: another compiler would throw away what the usual one has built.
export CARGO_TARGET_DIR=target/cross
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
debian=/usr/bin/rustc
if [ -n "${RUSTC:-}" ] || rustup target list --installed 2> /dev/null | grep -qx $target; then
    cargo build --release --target $target -p comet-edge
elif [ -x $debian ] && [ -d "$($debian --print sysroot)/lib/rustlib/$target/lib" ]; then
    RUSTC=$debian cargo build --release --target $target -p comet-edge
elif command -v cross > /dev/null 2>&1; then
    cross build --release --target $target -p comet-edge
else
    echo "needed, one of"
    echo "    rustup target add $target"
    echo "    sudo apt-get install rustc-web libstd-rust-web-dev:arm64 (after sudo dpkg --add-architecture arm64)"
    echo "    cargo install cross (and a container engine)"
    exit 1
fi
board=$CARGO_TARGET_DIR/$target/release/comet-edge

mkdir -p $folder
cat > $folder/job << JOB
/bin/comet-edge doctor
mkdir -p /tmp/inputs
/bin/comet-edge run --camera 0 --width 640 --height 480 --frames $frames --model /model.onnx --jsonl - \\
    --dump-frames /out/frames --dump-input /tmp/inputs --overlay /out/overlay > /out/predictions.jsonl
status=\$?
(cd /tmp/inputs && sha256sum *) > /out/inputs.sha256
exit \$status
JOB

for processor in cortex-a72 cortex-a76; do
    echo "$processor:"
    out=$folder/$processor
    rm -rf "$out"
    sh tests/vm/boot.sh $processor $folder/job "$out/board" "$board=/bin/comet-edge" "$model=/model.onnx"
    mkdir -p "$out/here"
    "$here" run --source "$out/board/frames/*.png" --model $model --jsonl - --dump-input "$out/here/inputs" \
        > "$out/here/predictions.jsonl"
    (cd "$out/here/inputs" && sha256sum -- *) > "$out/here/inputs.sha256"
    python3 tests/vm/compare.py $frames "$out/board" "$out/here"
done
echo "AArch64: the predictions for the camera's frames on emulated boards are the same as here"
