#!/bin/sh
# Files with practically random weights, to measure speed with: `random_pair.sh TRAINER FOLDER`.
# Writes FOLDER/random-full.int8.onnx, FOLDER/random-full.f32.onnx and the same of `small` and `lite`, at 224 px: one short epoch of
# training, and an export whose gate lets everything pass. A pair that is there already is left alone.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: random_pair.sh TRAINER FOLDER" >&2
    exit 2
fi
trainer=$1
folder=$2
mkdir -p "$folder"
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

for preset in full small lite; do
    int8=$folder/random-$preset.int8.onnx
    float=$folder/random-$preset.f32.onnx
    if [ -f "$int8" ] && [ -f "$float" ]; then
        continue
    fi
    run=$work/random-$preset
    [ -d "$work/plants" ] || "$trainer" data plants --out "$work/plants" --count 24 --size 64 --seed 1
    "$trainer" train --data "$work/plants" --out "$run" --preset "$preset" --from-scratch --size 224 \
        --epochs 1 --detector-epochs 1 --batch 4 --seed 1
    "$trainer" export "$run" --checkpoint last --quantize --method minmax -o "$int8" --float-out "$float" \
        --max-mask-mae 1 --min-mask-iou 0 --min-mask-iou-p5 0 --min-mask-pearson -1 --min-agreement 0 \
        --max-accuracy-drop 100
done
