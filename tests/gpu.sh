#!/bin/sh
# `gpu.sh TRAINER`: the losses of five steps on the first GPU (software Vulkan if there is no other) against the CPU's.
set -eu
trainer=$1
arguments="bench --preset small --width 16 --size 32 --batch 4 --steps 1 --json"
# shellcheck disable=SC2086
cpu=$("$trainer" $arguments --device cpu)
# shellcheck disable=SC2086
gpu=$("$trainer" $arguments --device gpu)
losses() { printf '%s\n' "$1" | sed 's/.*"losses":\[\([^]]*\)\].*/\1/' | tr ',' '\n'; }
losses "$cpu" > target/gpu/cpu.txt
losses "$gpu" > target/gpu/gpu.txt
device=$(printf '%s\n' "$gpu" | sed 's/.*"device":"\([^"]*\)".*/\1/')
paste target/gpu/cpu.txt target/gpu/gpu.txt | awk -v device="$device" '
    { d = $1 - $2; if (d < 0) d = -d; printf "step %d: CPU %.6f, %s %.6f, difference %.2e\n", NR, $1, device, $2, d / $1
      if (d > 1e-3 * $1) bad = 1 }
    END { if (NR < 3) { print "fewer than three steps"; exit 1 }
          if (bad) { print "FAILED: the losses differ by more than 1e-3"; exit 1 }
          print NR " passed, 0 failed" }'
