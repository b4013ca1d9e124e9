#!/bin/sh
# Does a job on a virtual board with a camera: `boot.sh PROCESSOR JOB OUT [HOST=GUEST ...]`.
# JOB is a shell script; what it prints is printed, its exit code is ours, and what it leaves in /out comes to the
# folder OUT. Each HOST=GUEST is a file for the board. VM_TIMEOUT limits the whole, in seconds [300]; exit code 99 means
# that the job did not finish.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
processor=$1
job=$2
out=$3
shift 3
kernel=${COMET_VM_CACHE:-$HOME/.cache/comet-edge-vm}
sh "$here/kernel.sh" "$kernel"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$here/pack.py" "$work/files" "$kernel" "$here/init" "$job" "$@"
# The first serial port is the console, the second one carries the results.
timeout -k 5 "${VM_TIMEOUT:-300}" qemu-system-aarch64 -M virt,gic-version=2 -cpu "$processor" -smp 2 -m 1024 \
    -nodefaults -display none -monitor none -no-reboot \
    -serial stdio -chardev "file,id=results,path=$work/results" -device pci-serial,chardev=results \
    -kernel "$kernel/vmlinuz" -initrd "$work/files" \
    -append "console=ttyAMA0 quiet loglevel=3 panic=-1 mitigations=off" < /dev/null > "$work/console" 2>&1 || true
tr -d '\r' < "$work/console"

status=$(tr -d '\r' < "$work/console" | sed -n 's/^board: the job ended with \([0-9]*\)$/\1/p')
if [ -z "$status" ]; then
    echo "the board did not finish its job within ${VM_TIMEOUT:-300} s"
    exit 99
fi
mkdir -p "$out"
tar -xzf "$work/results" -C "$out" || { echo "the results did not arrive whole"; exit 99; }
exit "$status"
