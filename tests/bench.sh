#!/bin/sh
# Times the models of `reference/random_pair.sh`: `bench.sh COMET_EDGE FOLDER PYTHON [OPTION of bench_peers.py]...`.
set -eu
program=$1
folder=$2
python=$3
shift 3
full=$folder/random-full
small=$folder/random-small
lite=$folder/random-lite
if "$python" -c 'import numpy, onnxruntime' >/dev/null 2>&1; then
    exec "$python" tests/reference/bench_peers.py --binary "$program" --json "$folder/peers.json" \
        --pair "full=$full.int8.onnx,$full.f32.onnx" --pair "small=$small.int8.onnx,$small.f32.onnx" \
        --pair "lite=$lite.int8.onnx,$lite.f32.onnx" "$@"
fi
for model in "$full.int8.onnx" "$full.f32.onnx" "$small.int8.onnx" "$small.f32.onnx" \
    "$lite.int8.onnx" "$lite.f32.onnx"; do
    "$program" bench --model "$model"
done
echo "Without its peers: $python lacks onnxruntime or numpy (pip install onnxruntime numpy, then make bench PYTHON=...)."
