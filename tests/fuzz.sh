#!/bin/sh
# Fuzzes model files: `sh tests/fuzz.sh TARGET SECONDS`. Needs cargo-fuzz and a nightly compiler; what it finds is
# left under target/fuzz, and `cargo fuzz run TARGET FILE` shows it again.
set -eu
cd "$(dirname "$0")/.."
target=$1
seconds=$2
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "make fuzz needs cargo-fuzz: cargo install cargo-fuzz, and rustup toolchain install nightly" >&2
    exit 1
fi
corpus=target/fuzz/corpus/$target
mkdir -p "$corpus" "target/fuzz/artifacts/$target"
# A graph and six mutations.
longest=19
if [ "$target" = files ]; then
    longest=65536
    cp -n tests/golden/foreign/*.onnx "$corpus" || true
fi
# The address sanitizer looks after the kernels' pointers; the limits are those that a damaged file must keep.
exec cargo +nightly fuzz run --release --fuzz-dir tests/fuzz --target-dir target/fuzz/build "$target" "$corpus" -- \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -len_control=0 -max_len="$longest" \
    -artifact_prefix="target/fuzz/artifacts/$target/"
