#!/bin/sh
# Shows the main job with the shipped model: `demo.sh COMET_EDGE FRAMES`.
set -eu
program=$1
frames=$2
out=target/demo
mkdir -p "$out"
if ls /dev/video* >/dev/null 2>&1 && "$program" run --camera 0 --frames "$frames" --overlay "$out"; then
    echo "That was the camera. Pictures with the map drawn in: $out"
    exit 0
fi
echo "No camera to use: showing the shipped frames instead."
"$program" run --source calib/hands/images --frames "$frames" --overlay "$out"
echo "Pictures with the map drawn in: $out"
echo "With a camera: $program run --camera 0"
