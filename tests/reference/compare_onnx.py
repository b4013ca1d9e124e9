"""Compares comet-edge with ONNX Runtime: the same model on the same pixels must give the same prediction.

Runs `BIN predict --model F --json --masks TMP --dump-input TMP IMAGES...` and feeds the dumped input
tensors to ONNX Runtime. From comet-edge's JSON (one object an image: a list, or one a line) it uses

    path        the image (only to name it in an error)
    logits      the class scores; or index, the winning class, where there are no logits
    mask_file   16-bit grey PNG of the map (65535 = 1), relative to TMP or absolute
    input_file  raw little-endian float32 [3,H,W]: the normalised input, relative to TMP or absolute

The ONNX model's rank-2 output is taken for the logits, its rank-3 or rank-4 output for the map. Where a
mask has another size than the map, the map is resized to it (bilinear, half-pixel centres).
With --float, the same inputs also go through that model, to show what quantisation itself changes.
Prints one JSON object; the exit status is 0 whenever the comparison ran.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def predictions(text):
    """The image objects in a JSON list, in an object that holds such a list, or one a line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(value, dict):
        value = next((v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)), [value])
    return [v for v in value if "mask_file" in v or "input_file" in v]


class Model:
    def __init__(self, path, threads):
        onnx.checker.check_model(str(path), full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        height, width = self.input.shape[-2:]
        self.size = (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def input_shape(self, count):
        """[3,H,W] of a tensor of `count` floats; a model with a free size is taken to be square."""
        side = math.isqrt(count // 3)
        height, width = self.size or (side, side)
        if 3 * height * width != count:
            raise SystemExit(f"the dumped input has {count} values, the model needs 3 x {height} x {width}")
        return 3, height, width

    def __call__(self, x):
        """(logits [K], map [H,W]) of one input [3,H,W]."""
        logits = mask = None
        for value in self.session.run(None, {self.input.name: x[None]}):
            if value.ndim == 2:
                logits = value[0]
            elif value.ndim in (3, 4):
                mask = value.reshape(value.shape[-2:])
        if logits is None or mask is None:
            raise SystemExit("the model needs a rank-2 output (logits) and a rank-3 or rank-4 output (map)")
        return logits.astype(np.float64), mask.astype(np.float64)


def to_shape(mask, shape):
    if mask.shape == shape:
        return mask
    resized = F.interpolate(torch.from_numpy(mask)[None, None], size=shape, mode="bilinear", align_corners=False)
    return resized[0, 0].numpy()


class Tally:
    """Collects the differences between two sides."""

    def __init__(self):
        self.same, self.map_mean, self.map_max, self.logits_max = [], [], [], []

    def add(self, logits_a, index_a, map_a, logits_b, map_b):
        self.same.append(index_a == int(np.argmax(logits_b)))
        if logits_a is not None:
            self.logits_max.append(float(np.abs(logits_a - logits_b).max()))
        if map_a is not None:
            difference = np.abs(map_a - map_b)
            self.map_mean.append(float(difference.mean()))
            self.map_max.append(float(difference.max()))

    def report(self):
        most = lambda v: max(v) if v else None
        return {
            "n": len(self.same),
            "label_agreement": float(np.mean(self.same)) if self.same else None,
            "map_mae": float(np.mean(self.map_mean)) if self.map_mean else None,
            "map_max_abs": most(self.map_max),
            "logits_max_abs": most(self.logits_max),
        }


def main():
    p = argparse.ArgumentParser(description="Compare comet-edge with ONNX Runtime on the same images.")
    p.add_argument("--model", type=Path, required=True, help="the ONNX model that both run")
    p.add_argument("--images", type=Path, required=True, help="an image, or a folder searched in depth")
    p.add_argument("--comet-edge", type=Path, required=True, metavar="BIN")
    p.add_argument("--float", type=Path, dest="float_model", metavar="ONNX", help="the model before quantisation")
    p.add_argument("--limit", type=int, help="at most this many images, spread over the folder")
    p.add_argument("--batch", type=int, default=200, help="images handed to one comet-edge process")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()

    if args.images.is_file():
        paths = [args.images]
    else:
        paths = sorted(q for q in args.images.rglob("*") if q.suffix.lower() in SUFFIXES)
    if args.limit and len(paths) > args.limit:
        paths = [paths[i * len(paths) // args.limit] for i in range(args.limit)]
    if not paths:
        raise SystemExit(f"no images under {args.images}")

    model = Model(args.model, args.threads)
    reference = Model(args.float_model, args.threads) if args.float_model else None
    ours, quantised, ours_float, resized = Tally(), Tally(), Tally(), 0

    for start in range(0, len(paths), args.batch):
        with tempfile.TemporaryDirectory() as folder:
            command = [args.comet_edge, "predict", "--model", args.model, "--json", "--masks", folder,
                       "--dump-input", folder, *paths[start:start + args.batch]]
            done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise SystemExit(f"comet-edge predict ended with status {done.returncode}")
            rows = predictions(done.stdout)
            expected = len(paths[start:start + args.batch])
            if len(rows) != expected:
                raise SystemExit(f"{expected} images went in, {len(rows)} came back")
            for row in rows:
                missing = [k for k in ("input_file", "mask_file") if not row.get(k)]
                if missing or ("logits" not in row and "index" not in row):
                    raise SystemExit(f"{row.get('path')}: no {missing or 'logits or index'} in {sorted(row)}")
                x = np.fromfile(Path(folder) / row["input_file"], dtype="<f4")
                x = x.reshape(model.input_shape(x.size))
                mask = np.asarray(Image.open(Path(folder) / row["mask_file"])).astype(np.float64) / 65535.0
                logits = np.array(row["logits"], dtype=np.float64) if "logits" in row else None
                index = int(np.argmax(logits)) if logits is not None else int(row["index"])

                ort_logits, ort_map = model(x)
                resized += ort_map.shape != mask.shape
                ours.add(logits, index, mask, ort_logits, to_shape(ort_map, mask.shape))
                if reference:
                    float_logits, float_map = reference(x)
                    quantised.add(ort_logits, int(np.argmax(ort_logits)), ort_map, float_logits, float_map)
                    ours_float.add(logits, index, mask, float_logits, to_shape(float_map, mask.shape))

    result = {**ours.report(), "maps_resized": resized, "onnxruntime": onnxruntime.__version__}
    if reference:
        result["onnxruntime_vs_float"] = quantised.report()
        result["comet_edge_vs_float"] = ours_float.report()
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
